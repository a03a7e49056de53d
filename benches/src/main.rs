//! The load generator. `serve` runs a data plane in a process of its own; `load` starts it, sends
//! what one publisher sends, receives what N subscribers get, and says what a forwarded packet
//! cost the server. `instructions` counts what it costs the engine alone. Started by `cargo xtask
//! bench`; measures on loopback only.
#![forbid(unsafe_code)]

mod channels;
mod instructions;
mod load;
mod report;
mod serve;
mod subscriber;
mod usage;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// The load generator of Fanfall.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

/// `load` without any argument.
#[derive(Parser)]
struct DefaultLoad {
    #[command(flatten)]
    arguments: LoadArguments,
}

#[derive(Subcommand)]
enum Command {
    /// Measures one publisher and N subscribers (the default).
    Load(LoadArguments),
    /// Measures one publisher of a data channel and N subscribers, then the same with one that stops
    /// reading.
    Channels(ChannelArguments),
    /// Runs the data plane under measurement; started by `load`, driven over stdin and stdout.
    Serve(ServeArguments),
    /// Counts the engine's instructions per forwarded packet (needs valgrind) against the gate.
    Instructions(StageArguments),
    /// The run whose instructions are counted; started by `instructions`.
    Stage(StageArguments),
}

/// What `load` does.
#[derive(Args, Clone, Debug)]
pub(crate) struct LoadArguments {
    /// Number of subscribers; each gets both tracks.
    #[arg(long, default_value_t = 200)]
    subscribers: usize,
    /// Measured time in seconds, after two seconds of warm-up.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// One subscriber in this many decrypts and checks everything.
    #[arg(long, default_value_t = 16)]
    verify_every: usize,
    /// Processor of the generator.
    #[arg(long, default_value_t = 1)]
    client_cpu: usize,
    /// Also prints the result as one line of JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    serve: ServeArguments,
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
    /// Counted (virtual) time in seconds, after ten seconds of warm-up, in which estimates settle.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Driver {
    Auto,
    Uring,
    Mmsg,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    match Arguments::parse().command {
        Some(Command::Serve(arguments)) => serve::run(&arguments),
        Some(Command::Instructions(arguments)) => instructions::run(&arguments),
        Some(Command::Stage(arguments)) => instructions::stage(&arguments),
        Some(Command::Load(arguments)) => load::run(&arguments),
        Some(Command::Channels(arguments)) => channels::run(&arguments),
        None => load::run(&DefaultLoad::parse_from(["load"]).arguments),
    }
}

/// Pins the calling thread to a processor; where that is refused the run goes on unpinned.
pub(crate) fn pin(processor: usize) -> bool {
    let ids = core_affinity::get_core_ids().unwrap_or_default();
    let wanted = ids.into_iter().find(|id| id.id == processor);
    wanted.is_some_and(core_affinity::set_for_current)
}
