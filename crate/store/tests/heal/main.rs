//! Downloads over a network, a storage and a clock that do as a test says.

mod doubles;
mod faults;
mod versions;
