/* The folder of a run: nobody else writes there meanwhile, and nothing is lost or left there. */
#define _GNU_SOURCE
#include "tests/cli.h"

TestSuite(cli_folder, .init = setup, .fini = teardown, .timeout = 60);

Test(cli_folder, two_runs_in_one_folder_notice_each_other)
{
    int out[2], status = 0;
    char text[TEXT];
    FILE *err = tmpfile();
    cr_assert(pipe(out) == 0 && err);
    pid_t child = start(TRAIN "--text text.txt --steps 1000000 --out busy", out[1], fileno(err));
    close(out[1]);
    cr_assert(read(out[0], text, sizeof text) > 0); /* it has begun */
    expect_wrong(&(wrong){TRAIN "--text text.txt --out busy --overwrite", 1,
                          "another run is at work in busy"});
    expect_wrong(&(wrong){TRAIN "--text text.txt --out busy --resume", 1, "another run"});
    kill(child, SIGTERM);
    while (read(out[0], text, sizeof text) > 0) continue;
    waitpid(child, &status, 0);
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %d", status);
    close(out[0]);
    fclose(err);
    outcome o = weft(TRAIN "--text text.txt --out busy --overwrite --steps 1");
    cr_expect_eq(o.code, 0, "code %d: %s", o.code, o.err);
}

Test(cli_folder, what_is_there_is_not_replaced_silently)
{
    const struct {
        const char *name, *says;
        size_t becomes; /* its bytes after --overwrite, as far as they are looked at */
    } cases[] = {{"checkpoint.safetensors", "--resume", 8},
                 {"model.safetensors", "--init", 8},
                 {"config.json", "--overwrite", 8},
                 {"loss.png", "--overwrite", 8},
                 {"best.safetensors", "--overwrite", 8},
                 {"model_last.safetensors", "--overwrite", 0}}; /* with --ema alone */
    for (int i = 0; i < 6; i++) {
        char folder_name[16], file[64], line[300], text[8];
        snprintf(folder_name, sizeof folder_name, "full%d", i);
        snprintf(file, sizeof file, "%s/%s", folder_name, cases[i].name);
        cr_assert(mkdir(path_of(folder_name), 0777) == 0);
        put(file, "mine");
        snprintf(line, sizeof line, "%s --text text.txt --steps 1 --out %s", TRAIN, folder_name);
        expect_wrong(&(wrong){line, 1, cases[i].says});
        expect_wrong(&(wrong){line, 1, file});
        cr_expect(load(file, text, sizeof text) == 4, "%s has changed", file);
        strcat(line, " --overwrite");
        cr_expect_eq(weft(line).code, 0, "%s", line);
        cr_expect(load(file, text, sizeof text) == cases[i].becomes, "%s is still the old one",
                  file);
    }
}

Test(cli_folder, other_files_may_lie_in_a_folder_that_the_run_makes)
{
    cr_assert(mkdir(path_of("old"), 0777) == 0);
    outcome o = weft(TRAIN "--text text.txt --steps 1 --out old/new/ --log ./old/new/log "
                           "--explain old/new/page.html --tensorboard old/new/board");
    cr_expect_eq(o.code, 0, "code %d: %s", o.code, o.err);
    cr_expect(exists("old/new/log") && exists("old/new/page.html") && exists("old/new/board"));
}

Test(cli_folder, what_a_killed_run_left_half_written_goes)
{
    const char *gone[] = {"out/checkpoint.safetensors.123.0.tmp", "out/model.safetensors.9.12.tmp",
                          "out/loss.png.77.part"};
    const char *kept[] = {"out/notes.1.part", "out/checkpoint.safetensors.old.tmp",
                          "out/loss.png.2.png"};
    cr_assert(mkdir(path_of("out"), 0777) == 0);
    for (int i = 0; i < 3; i++) put(gone[i], "x"), put(kept[i], "x");
    cr_expect_eq(weft(TRAIN "--text text.txt --steps 1").code, 0);
    for (int i = 0; i < 3; i++) {
        cr_expect(!exists(gone[i]), "%s", gone[i]);
        cr_expect(exists(kept[i]), "%s", kept[i]);
    }
}
