//! Judges the units of a commit against the rows of an engine: what every engine shares.
