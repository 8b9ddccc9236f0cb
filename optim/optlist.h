/* The only list of optimizers. */
OPT(sgd)
OPT(adam)
OPT(adamw) OPT(lion) OPT(tiger) OPT(lamb) OPT(adafactor) OPT(rmsprop) OPT(nadam) OPT(radam)
