//! Tests of the STUN reader and writer.
