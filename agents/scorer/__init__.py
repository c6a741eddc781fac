"""The metric scorer: how strange is this sample, for this series, knowing only what came before.

One configuration serves every series. A score of 1 or more is an alarm.
"""
