"""The first layer where most numbers of the samples are zero."""
