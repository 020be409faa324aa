//! What `topk verify` gathers for the recount in `verify/`: settings as rules, what tables and boards carry, and where the
//! journal says that these epochs stood.

mod carried;
mod gather;

pub use carried::Cuts;
pub use gather::{Gathered, boards_of, rules_of, tables_of};
