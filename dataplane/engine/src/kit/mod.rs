//! Values and containers that every stage may use.

pub mod packet;
pub mod random;
pub mod table;
