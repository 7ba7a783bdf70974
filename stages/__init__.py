"""The verbs of the pipeline, one file a stage: read inputs, call `lirf`, write outputs."""
