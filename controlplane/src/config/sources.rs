//! Where settings come from: flags, environment, file. Each source yields raw texts that remember
//! their origin; a later source in [`Layers::find`] never sees the earlier one's values.
//!
//! Called once at start by `mod.rs`. Never interprets a value: that is `mod.rs`'s work.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::ConfigError;
use super::commands::commands;
use super::settings::{SETTINGS, Setting};

/// A text and where the operator wrote it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Raw {
    /// The text, without TOML quotes.
    pub(super) text: String,
    /// `--flag`, variable name, or `file line N`.
    pub(super) origin: String,
}

/// One `[[apps]]` table of the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct RawApp {
    pub(super) id: Raw,
    pub(super) secret: Raw,
}

/// All sources merged: for each key the values of the strongest source that has it.
#[derive(Default, Debug)]
pub(super) struct Layers {
    values: BTreeMap<&'static str, Vec<Raw>>,
    pub(super) apps: Vec<RawApp>,
}

impl Layers {
    /// The values of a setting; empty when no source has it.
    pub(super) fn all(&self, key: &str) -> &[Raw] {
        self.values.get(key).map_or(&[], Vec::as_slice)
    }

    /// The value of a setting that takes one.
    pub(super) fn one(&self, key: &str) -> Option<&Raw> {
        self.all(key).last()
    }
}

/// What the settings stand under in the help.
const HEADING: &str = "Settings";

/// The command line's grammar. Its help names every setting with its variable and default.
pub(super) fn command() -> clap::Command {
    let mut command = clap::Command::new("fanfall")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A WebRTC selective forwarding unit with an HTTP API; serves without a command")
        .after_help(
            "Every setting may stand in a TOML file (underscores instead of dashes), in the \
             environment, or on the command line; the command line wins over the environment, the \
             environment over the file.",
        )
        .arg(
            Arg::new("config")
                .long("config")
                .env("FANFALL_CONFIG")
                .value_name("FILE")
                .global(true)
                .help_heading(HEADING)
                .help("TOML file with settings. Default: none"),
        );
    for setting in SETTINGS {
        let mut arg = Arg::new(setting.key)
            .long(setting.flag)
            .env(setting.env)
            .hide_env_values(true)
            .value_name(setting.value)
            .global(true)
            .help_heading(HEADING)
            .help(setting.help);
        if setting.list {
            arg = arg.action(ArgAction::Append);
        }
        command = command.arg(arg);
    }
    command.subcommands(commands())
}

/// Merges command line, environment and file.
///
/// # Errors
/// An unreadable or malformed file, an unknown key in it, a value of the wrong shape.
pub(super) fn read(matches: &ArgMatches) -> Result<Layers, ConfigError> {
    let mut layers = Layers::default();
    if let Some(path) = matches.get_one::<String>("config") {
        read_file(&PathBuf::from(path), &mut layers)?;
    }
    for setting in SETTINGS {
        let origin = match matches.value_source(setting.key) {
            Some(ValueSource::CommandLine) => format!("--{}", setting.flag),
            Some(ValueSource::EnvVariable) => setting.env.to_owned(),
            _ => continue,
        };
        let texts = matches.get_many::<String>(setting.key).into_iter().flatten();
        let raws = texts
            .flat_map(|text| split(&setting, text))
            .map(|text| Raw { text: text.trim().to_owned(), origin: origin.clone() });
        layers.values.insert(setting.key, raws.collect());
    }
    Ok(layers)
}

/// Splits a list at its commas; a single value stays whole.
fn split<'a>(setting: &Setting, text: &'a str) -> Vec<&'a str> {
    if setting.list { text.split(',').collect() } else { vec![text] }
}

fn read_file(path: &Path, layers: &mut Layers) -> Result<(), ConfigError> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|error| ConfigError::new(&name, format!("cannot be read: {error}")))?;
    let file = File { name: &name, text: &text };
    let table = DeTable::parse(&text).map_err(|error| {
        let at = file.origin(error.span().map_or(0, |span| span.start));
        ConfigError::new(at, error.message())
    })?;
    for (key, value) in table.get_ref() {
        file.entry(key, value, layers)?;
    }
    Ok(())
}

/// The file being read, for positions in messages.
struct File<'a> {
    name: &'a str,
    text: &'a str,
}

impl File<'_> {
    /// `name line N` of a byte offset.
    fn origin(&self, offset: usize) -> String {
        let before = self.text.as_bytes().iter().take(offset);
        let line = before.filter(|byte| **byte == b'\n').count() + 1;
        format!("{} line {line}", self.name)
    }

    fn entry(
        &self,
        key: &Spanned<std::borrow::Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
        layers: &mut Layers,
    ) -> Result<(), ConfigError> {
        if key.get_ref() == "apps" {
            layers.apps = self.apps(value)?;
            return Ok(());
        }
        let Some(setting) = SETTINGS.iter().find(|setting| setting.key == key.get_ref()) else {
            let reason = format!("unknown setting {:?}", key.get_ref());
            return Err(ConfigError::new(self.origin(key.span().start), reason));
        };
        let raws = match value.get_ref() {
            DeValue::Array(items) if setting.list => {
                items.iter().map(|item| self.scalar(item)).collect::<Result<_, _>>()?
            }
            _ => vec![self.scalar(value)?],
        };
        layers.values.insert(setting.key, raws);
        Ok(())
    }

    fn scalar(&self, value: &Spanned<DeValue<'_>>) -> Result<Raw, ConfigError> {
        let origin = self.origin(value.span().start);
        let text = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().to_owned(),
            DeValue::Boolean(true) => "on".to_owned(),
            DeValue::Boolean(false) => "off".to_owned(),
            other => {
                let reason = format!("expected one value, found a {}", other.type_str());
                return Err(ConfigError::new(origin, reason));
            }
        };
        Ok(Raw { text, origin })
    }

    fn apps(&self, value: &Spanned<DeValue<'_>>) -> Result<Vec<RawApp>, ConfigError> {
        let at = self.origin(value.span().start);
        let shape = || ConfigError::new(&at, "apps must be written as [[apps]] with id and secret");
        let tables = value.get_ref().as_array().ok_or_else(shape)?;
        tables
            .iter()
            .map(|table| {
                let at = self.origin(table.span().start);
                let fields = table.get_ref().as_table().ok_or_else(shape)?;
                let (mut id, mut secret) = (None, None);
                for (key, value) in fields {
                    match key.get_ref().as_ref() {
                        "id" => id = Some(self.scalar(value)?),
                        "secret" => secret = Some(self.scalar(value)?),
                        other => {
                            let reason = format!("unknown setting {other:?} of an app");
                            return Err(ConfigError::new(self.origin(key.span().start), reason));
                        }
                    }
                }
                let missing = |what| ConfigError::new(&at, format!("an app needs {what}"));
                Ok(RawApp {
                    id: id.ok_or_else(|| missing("an id"))?,
                    secret: secret.ok_or_else(|| missing("a secret"))?,
                })
            })
            .collect()
    }
}
