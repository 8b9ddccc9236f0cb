/* What drivers keep beside the weights: their configuration, their progress, their files. */
#ifndef WF_MODELS_CHECKPOINT_H
#define WF_MODELS_CHECKPOINT_H

#include "models/args.h"
#include <stdio.h>
#include <weft/weft.h>

/* Write every fixed option of the command into the store's texts ("config/<option>"). */
wf_status wf_config_save(const wf_command *c, const void *options, wf_store *s);
/* Fill options with the defaults and those that the store's texts have; from is the file that it
 * came from. False after one line on stderr. */
bool wf_config_read(const wf_command *c, const wf_store *s, const char *from, void *options);
/* Write "; --name was 1, is 2" to f for every fixed option that differs. */
void wf_config_differences(const wf_command *c, const void *was, const void *is, FILE *f);
/* Set the options of one group from a store's texts. False after one line on stderr. */
bool wf_config_load(const wf_arg_group *group, const char *command, const wf_store *s,
                    const char *from, void *options);
/* The fixed options as members of a JSON object, with "before" before each. */
void wf_config_print(const wf_command *c, const void *options, const char *before, FILE *f);
/* The same as one object in a file. False after one line on stderr. */
bool wf_config_write(const wf_command *c, const void *options, const char *path);

/* A whole number among the store's texts; -1 if there is none. */
wf_status wf_number_save(wf_store *s, const char *key, int64_t number);
int64_t wf_number_load(const wf_store *s, const char *key);

/* True if a store that had "known" tensors, from a file, when p was compiled against it holds just
 * what p needs, besides those of progress; else one line names a tensor that is missing or not
 * expected. */
bool wf_store_fits(const wf_store *s, int known, const wf_program *p, const char *command,
                   const char *from);

/* By its name a parameter: neither state of an optimizer nor progress of a run. */
bool wf_is_weight(const char *name);
/* Is every float in it finite? */
bool wf_store_is_finite(const wf_store *s);
/* Lend the parameters to a store without them; averages: as their averages over updates, if from
 * has any. */
wf_status wf_weights_lend(wf_store *to, const wf_store *from, bool averages);
/* Save parameters and configuration only, without optimizer state and progress. */
wf_status wf_weights_save(const wf_store *s, const wf_command *c, const void *options,
                          bool averages, const char *path);

#endif
