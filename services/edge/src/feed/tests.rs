//! The fan-out as a whole: real sockets on one side, a scripted state service on the other.

mod delivery;
mod resume;
mod rig;
mod slow;
mod upstream;
