"""Log lines become templates: what a line says once its values are taken out.

One configuration serves every system. A template's id is a hash, the same in every worker.
"""
