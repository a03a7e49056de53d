//! Tests of the RTCP walk, views and builder.
