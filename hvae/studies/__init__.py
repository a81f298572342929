"""Studies: many compositions with many seeds, trained, evaluated and put into a table.

hvae.studies.break_ups    which compositions are compared
hvae.studies.grid         the language of --grid and --select
hvae.studies.plan         the runs of a study, each with all its settings
hvae.studies.folder       the folder of a study
hvae.studies.work         what a worker does for one run
hvae.studies.engines      where workers are: an interface, and a file an engine
hvae.studies.sweep        leads a study to its end
hvae.studies.selection    what validation chooses, before any test figure
hvae.studies.standing     how far a study is, and the time left
hvae.studies.cost         what it will cost
hvae.studies.finished, groups, table, layout, paper    the table, beside the paper's
"""
