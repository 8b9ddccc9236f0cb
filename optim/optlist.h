/* The only list of optimizers. */
OPT(sgd) OPT(adamw) OPT(lion) OPT(tiger)
