//! A network, a storage and a clock that do as a test says. Time passes only when everybody waits, so minutes take no time, and a
//! run can be killed between any two steps.

pub mod server;
pub mod time;
pub mod vault;
