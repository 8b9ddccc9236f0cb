/* The command weft; all of it is in command.c, where tests reach it. */
#include "models/drivers.h"

int main(int argc, char **argv)
{
    return wf_command_main(argc, argv);
}
