"""What may be wrong with an experiment before or after its training: checks, each with finding, evidence, remedy.

A check of data or curves is a function `(Context) -> Finding`, plain numpy on what stages 1 to 4 wrote. A check that
runs the network is a function `(Bench) -> Finding`. All of these share one `Bench`, which holds it compiled.
"""
