"""What may be wrong with an experiment before or after its training: checks, each with finding, evidence, remedy.

A check is a function `(Context) -> Finding`. Those that judge data are plain numpy on what stages 1 to 3 wrote; those
that run the network share one `Bench`, which holds it compiled, and one batch.
"""
