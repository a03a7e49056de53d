//! Values and containers that every stage may use.

pub(crate) mod clock;
pub(crate) mod cores;
pub(crate) mod outbound;
pub mod packet;
pub mod random;
pub mod table;
