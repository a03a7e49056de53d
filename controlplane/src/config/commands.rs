//! What the binary does besides serving: its subcommands and their arguments. `sources.rs` puts
//! them into the grammar, `mod.rs` hands them to `main.rs`.

use clap::{Arg, ArgAction, ArgMatches, Command};

/// What the binary is asked to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Task {
    /// Serve: no subcommand.
    Serve,
    /// Check and show the settings.
    CheckConfig,
    /// List the live sessions.
    Sessions,
    /// Show what the cores and sessions do.
    Top {
        /// One table instead of one a second.
        once: bool,
    },
    /// Manage stored apps.
    App(AppTask),
}

/// What is done with stored apps.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AppTask {
    /// Make one.
    Create {
        /// Its name; may be empty.
        name: String,
    },
    /// List all.
    List,
    /// Give one another secret.
    Rotate {
        /// Its id.
        uid: String,
    },
    /// Delete one.
    Delete {
        /// Its id.
        uid: String,
    },
}

/// The subcommands.
pub(super) fn commands() -> [Command; 4] {
    let uid = || Arg::new("uid").value_name("APP_ID").required(true).help("Id of the app");
    let app = |name: &'static str, about: &'static str| Command::new(name).about(about);
    let name = Arg::new("name").value_name("NAME").help("What the app is to be called");
    let once = Arg::new("once")
        .long("once")
        .action(ArgAction::SetTrue)
        .help("Show one table, of the next second, and end");
    [
        Command::new("app")
            .about("Make, list and delete apps that are kept in the state directory")
            .long_about(
                "Make, list and delete apps that are kept in the state directory. Where --state \
                 names a directory that no server uses, the command works on it; otherwise it asks \
                 the server at --http, with --account-token.",
            )
            .subcommand_required(true)
            .subcommand(app("create", "Make an app; shows its secret, once").arg(name))
            .subcommand(app("list", "List the apps"))
            .subcommand(app("rotate", "Give an app another secret, shown once").arg(uid()))
            .subcommand(app("delete", "Delete an app and end its sessions").arg(uid())),
        Command::new("check-config").about("Check the settings and show what they come to"),
        Command::new("sessions")
            .about("List the live sessions of the server at --http; needs --account-token"),
        Command::new("top")
            .about("Show what the cores of the server at --http do, and with --account-token the sessions")
            .arg(once),
    ]
}

/// The subcommand that was given.
pub(super) fn task(matches: &ArgMatches) -> Task {
    match matches.subcommand() {
        Some(("app", app)) => app.subcommand().map_or(Task::Serve, |it| Task::App(app_task(it))),
        Some(("check-config", _)) => Task::CheckConfig,
        Some(("sessions", _)) => Task::Sessions,
        Some(("top", top)) => Task::Top { once: top.get_flag("once") },
        _ => Task::Serve,
    }
}

fn app_task((name, matches): (&str, &ArgMatches)) -> AppTask {
    let text = |key| matches.get_one::<String>(key).cloned().unwrap_or_default();
    match name {
        "create" => AppTask::Create { name: text("name") },
        "rotate" => AppTask::Rotate { uid: text("uid") },
        "delete" => AppTask::Delete { uid: text("uid") },
        _ => AppTask::List,
    }
}
