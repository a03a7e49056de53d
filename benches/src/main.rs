//! The benches: what a forwarded packet costs, how soon and how surely it arrives, what a session
//! weighs, beside the floor of the machine and beside other servers. Started by `cargo xtask bench`;
//! measures on loopback only. Without a subcommand it runs the scenarios (`run`); the subcommands
//! are the processes it starts and the two special measurements.
#![forbid(unsafe_code)]

mod channels;
mod client;
mod floor;
mod generator;
mod instructions;
mod node;
mod peers;
mod report;
mod run;
mod scenario;
mod serve;
mod subject;
mod usage;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// The benches of Fanfall.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArguments,
}

#[derive(Subcommand)]
enum Command {
    /// Measures one publisher of a data channel and N subscribers, then the same with one that stops
    /// reading.
    Channels(ChannelArguments),
    /// Puts the reports of several calls (`--out`) together: same build, machine and kernel.
    Merge(MergeArguments),
    /// Runs a data plane without control plane; started by `channels`, driven over stdin and stdout.
    Serve(ServeArguments),
    /// Runs the whole server; started by the scenarios.
    Node(NodeArguments),
    /// Runs a minimal SFU on str0m; started by the scenarios.
    PeerStr0m,
    /// Runs the smallest forwarder; started by the scenarios for their floor.
    FloorForwarder(ForwarderArguments),
    /// Counts the engine's instructions per forwarded packet (needs valgrind) against the gate.
    Instructions(StageArguments),
    /// The run whose instructions are counted; started by `instructions`.
    Stage(StageArguments),
}

/// Which scenarios are run, and how.
#[derive(Args, Clone, Debug)]
pub(crate) struct RunArguments {
    /// Also measures a minimal SFU on str0m and Janus, in the same run on the same work.
    #[arg(long)]
    peers: bool,
    /// Only the scenarios whose names begin with one of these (may be repeated).
    #[arg(long)]
    scenario: Vec<String>,
    /// Alternating runs of each server; medians are shown.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Measured time of each run in seconds.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Folder to write baseline.json, .md and .svg to (`benches` is that of the committed ones).
    #[arg(long)]
    out: Option<String>,
    /// Prints the change since benches/baseline.json.
    #[arg(long)]
    compare: bool,
    /// Everything as small as it can be, once: proves that it works, measures nothing.
    #[arg(long)]
    smoke: bool,
    /// Processor of the server.
    #[arg(long, default_value_t = 0)]
    server_cpu: usize,
    /// Processor of the generator.
    #[arg(long, default_value_t = 1)]
    client_cpu: usize,
    /// Driver of Fanfall's data plane.
    #[arg(long, value_enum, default_value_t = Driver::Auto)]
    driver: Driver,
}

/// What `merge` puts together.
#[derive(Args, Clone, Debug)]
pub(crate) struct MergeArguments {
    /// The baseline.json of each call. Runs of one scenario with one server are lined up.
    #[arg(required = true)]
    files: Vec<String>,
    /// Folder to write baseline.json, .md and .svg to.
    #[arg(long)]
    out: Option<String>,
}

/// What `node` does.
#[derive(Args, Clone, Debug)]
pub(crate) struct NodeArguments {
    /// Driver of the data plane.
    #[arg(long, default_value = "auto")]
    driver: String,
}

/// What `floor-forwarder` does.
#[derive(Args, Clone, Debug)]
pub(crate) struct ForwarderArguments {
    /// How it sends.
    #[arg(long, value_enum)]
    method: Method,
}

/// What `channels` does.
#[derive(Args, Clone, Debug)]
pub(crate) struct ChannelArguments {
    /// Number of subscribers.
    #[arg(long, default_value_t = 1_000)]
    subscribers: usize,
    /// Messages per second.
    #[arg(long, default_value_t = 100)]
    rate: u32,
    /// Bytes of a message.
    #[arg(long, default_value_t = 1_024)]
    size: usize,
    /// Measured time of each run in seconds.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Processor of the generator.
    #[arg(long, default_value_t = 1)]
    client_cpu: usize,
    #[command(flatten)]
    serve: ServeArguments,
}

/// What `serve` does.
#[derive(Args, Clone, Debug)]
pub(crate) struct ServeArguments {
    /// Number of cores (threads) of the data plane.
    #[arg(long, default_value_t = 1)]
    cores: usize,
    /// First processor of the data plane; its cores take this one and those behind it.
    #[arg(long, default_value_t = 0)]
    server_cpu: usize,
    /// Driver of the data plane.
    #[arg(long, value_enum, default_value_t = Driver::Auto)]
    driver: Driver,
}

/// What `instructions` counts.
#[derive(Args, Clone, Debug)]
pub(crate) struct StageArguments {
    /// Number of subscribers; each gets both tracks.
    #[arg(long, default_value_t = 200)]
    subscribers: usize,
    /// Counted (virtual) time in seconds.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Media flows so many seconds before anything is counted: key frames, first reports; estimates
    /// have settled after ten.
    #[arg(long, default_value_t = 10)]
    warm_up: u64,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Driver {
    Auto,
    Uring,
    Mmsg,
}

/// How the floor sends.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Method {
    /// One datagram per packet, many in a system call.
    Plain,
    /// The packets of a burst to one destination as one message with segmentation offload.
    Gso,
}

/// How this program was built.
pub(crate) fn build() -> &'static str {
    if cfg!(debug_assertions) { "debug" } else { "release" }
}

fn main() -> Outcome<()> {
    let arguments = Arguments::parse();
    match arguments.command {
        Some(Command::Channels(arguments)) => channels::run(&arguments),
        Some(Command::Merge(arguments)) => run::merge(&arguments),
        Some(Command::Serve(arguments)) => serve::run(&arguments),
        Some(Command::Node(arguments)) => node::run(&arguments),
        Some(Command::PeerStr0m) => peers::str0m::run(),
        Some(Command::FloorForwarder(arguments)) => floor::forwarder::run(&arguments),
        Some(Command::Instructions(arguments)) => instructions::run(&arguments),
        Some(Command::Stage(arguments)) => instructions::stage(&arguments),
        None => run::run(&arguments.run),
    }
}
