/* The command weft and its drivers: each takes the words behind its name, argv[0] is the name. */
#ifndef WF_MODELS_DRIVERS_H
#define WF_MODELS_DRIVERS_H

int wf_command_main(int argc, char **argv);

int wf_gau_pretrain_main(int argc, char **argv);
int wf_gau_fill_main(int argc, char **argv);
int wf_graph_gau_main(int argc, char **argv);
int wf_vocab_main(int argc, char **argv);
int wf_optimizers_main(int argc, char **argv);
int wf_schedule_main(int argc, char **argv);
int wf_recipe_main(int argc, char **argv);

#endif
