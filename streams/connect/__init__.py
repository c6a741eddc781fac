"""Looking at a cluster that is there already: what is on its topics, and which settings fit.

Nothing here runs in the pipeline. A format is guessed once, for a person, who sees why and
keeps or corrects the settings that come of it; at run time each topic has the one format
that settings name.
"""
