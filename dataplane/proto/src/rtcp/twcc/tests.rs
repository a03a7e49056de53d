//! Tests of the recorder against the reader.
