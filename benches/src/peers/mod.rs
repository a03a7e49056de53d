//! Servers of other makes that are built here to be compared with: programs of their own, started by
//! `subject`. Nothing of Fanfall's data plane may be used in them.

pub(crate) mod str0m;
