//! Every numbered step at which a process can die, freeze or fail (`stream::FailPoint`), end to end, by the real binary: what
//! is there afterwards is what a run gives that nothing happened to.

mod frozen;
mod full_disk;
mod kills;
mod logs;
mod pairs;
mod power_loss;
