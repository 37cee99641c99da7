//! How fast the classifier answers, beside the linear oracle and beside DPDK's `rte_acl`, on the same rules and packets.
//!
//! `cargo bench --bench classify` prints the tables. `-- check [SET]` compares five million packets a set with
//! [`nsgwatch::nsg::evaluate`] instead, for all sets or one; `-- quick [SET]` measures shorter, or one set; `-- growth`
//! measures only what more prefixes cost, `-- real` how long a machine's three layers with published service tags take
//! to compile.
//! `rte_acl` takes part where the environment variable `RTE_ACL_DRIVER` names its driver: `benches/classify.sh` builds it
//! and runs everything.
//!
//! A figure is the median over many short passes, single calls, nanoseconds a packet. The passes of all engines
//! alternate, so that a busy machine is busy for all of them; ratios come from such passes only.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a measuring program: it draws numbers, prints tables, and stops where something is wrong"
)]

mod check;
mod measure;
mod random;
mod real;
mod rte_acl;
mod sets;
mod traces;

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    match arguments.next().as_deref() {
        Some("check") => check::sets(arguments.next().as_deref()),
        Some("real") => real::machine(15),
        Some("growth") => measure::growth(15),
        Some("quick") => measure::tables(5, arguments.next().as_deref()),
        None => measure::tables(15, None),
        Some(other) => eprintln!("`{other}` is not check, growth, quick or real"),
    }
}
