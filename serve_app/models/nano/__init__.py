"""How the models in the box are made: data, vocabulary, training, grading, and spoiling one."""
