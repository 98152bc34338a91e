//! etcdctl's command line: its commands, flags, and the way it complains.
//!
//! clap does the reading. Around it: switches may be given Go's way (`--prefix=false`), variables
//! `ETCDCTL_*` stand for global flags, and errors are told in cobra's words, which scripts match.

use std::{collections::BTreeMap, error::Error as _, ffi::OsString, time::Duration};

use clap::{
    Arg, ArgAction, ArgMatches, Args, Command, CommandFactory as _, FromArgMatches as _, Parser,
    Subcommand,
    builder::BoolishValueParser,
    error::{ContextKind, ContextValue, ErrorKind},
    parser::ValueSource,
};

use super::{CtlError, print::Format, text};
use crate::cli::flags::duration;

/// Talk to a cluster, in etcdctl's syntax.
#[derive(Debug, Parser)]
#[command(name = "etcdctl", disable_help_subcommand = true)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Verb,
}

#[derive(Clone, Debug, Args)]
pub(super) struct Global {
    /// gRPC endpoints
    #[arg(long, global = true, value_delimiter = ',', default_value = "127.0.0.1:2379")]
    pub(super) endpoints: Vec<String>,
    /// Set the output format (fields, json, simple, table)
    #[arg(short, long, global = true, default_value = "simple")]
    write_out: String,
    /// Print byte strings as hex encoded strings
    #[arg(long, global = true)]
    pub(super) hex: bool,
    /// Dial timeout for client connections
    #[arg(long, global = true, default_value = "2s", value_parser = duration::parse)]
    pub(super) dial_timeout: Duration,
    /// Timeout for short running command (excluding dial timeout)
    #[arg(long, global = true, default_value = "5s", value_parser = duration::parse)]
    pub(super) command_timeout: Duration,
    /// Keepalive time for client connections
    #[arg(long, global = true, default_value = "2s", value_parser = duration::parse)]
    pub(super) keepalive_time: Duration,
    /// Keepalive timeout for client connections
    #[arg(long, global = true, default_value = "6s", value_parser = duration::parse)]
    pub(super) keepalive_timeout: Duration,
    /// Enable client-side debug logging
    #[arg(long, global = true)]
    debug: bool,
    /// Disable transport security for client connections
    #[arg(long, global = true, default_value = "true", action = ArgAction::Set, num_args = 0..=1,
        require_equals = true, default_missing_value = "true")]
    insecure_transport: bool,
    #[command(flatten)]
    unsupported: Unsupported,
}

/// Flags of later releases: known, and refused when used.
#[derive(Clone, Debug, Args)]
struct Unsupported {
    #[arg(long, global = true, hide = true)]
    cert: Option<String>,
    #[arg(long, global = true, hide = true)]
    key: Option<String>,
    #[arg(long, global = true, hide = true)]
    cacert: Option<String>,
    #[arg(long, global = true, hide = true)]
    insecure_skip_tls_verify: bool,
    #[arg(long, global = true, hide = true)]
    user: Option<String>,
    #[arg(long, global = true, hide = true)]
    password: Option<String>,
    #[arg(long, global = true, hide = true)]
    auth_jwt_token: Option<String>,
    #[arg(short = 'd', long, global = true, hide = true)]
    discovery_srv: Option<String>,
    #[arg(long, global = true, hide = true)]
    discovery_srv_name: Option<String>,
}

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Verb {
    /// Puts the given key into the store
    Put(PutArgs),
    /// Gets the key or a range of keys
    Get(GetArgs),
    /// Removes the specified key or range of keys [key, range_end)
    Del(DelArgs),
    /// Txn processes all the requests in one transaction
    Txn {
        /// Input transaction in interactive mode
        #[arg(short, long)]
        interactive: bool,
    },
    /// Watches events stream on keys or prefixes
    Watch(WatchArgs),
    /// Compacts the event history in etcd
    #[command(alias = "compact")]
    Compaction {
        args: Vec<String>,
        /// Wait for compaction to physically remove all old revisions
        #[arg(long)]
        physical: bool,
    },
    /// Lease related commands
    #[command(subcommand, arg_required_else_help = true)]
    Lease(LeaseVerb),
    /// Membership related commands
    #[command(subcommand, arg_required_else_help = true)]
    Member(MemberVerb),
    /// Endpoint related commands
    #[command(subcommand, arg_required_else_help = true)]
    Endpoint(EndpointVerb),
    /// Manages etcd node snapshots
    #[command(subcommand, arg_required_else_help = true)]
    Snapshot(SnapshotVerb),
    /// Alarm related commands
    #[command(subcommand, arg_required_else_help = true)]
    Alarm(AlarmVerb),
    /// Defragments the storage of the etcd members with given endpoints
    Defrag {
        /// Use all endpoints from the cluster member list
        #[arg(long)]
        cluster: bool,
    },
    /// Transfers leadership to another etcd cluster member
    MoveLeader { args: Vec<String> },
    /// Prints the version of etcdctl
    Version,
}

#[derive(Clone, Debug, Args)]
pub(super) struct PutArgs {
    pub(super) args: Vec<String>,
    /// Lease ID (in hexadecimal) to attach to the key
    #[arg(long, default_value = "0")]
    pub(super) lease: String,
    /// Return the previous key-value pair before modification
    #[arg(long)]
    pub(super) prev_kv: bool,
    /// Updates the key using its current value
    #[arg(long)]
    pub(super) ignore_value: bool,
    /// Updates the key using its current lease
    #[arg(long)]
    pub(super) ignore_lease: bool,
}

#[derive(Clone, Debug, Args)]
pub(super) struct GetArgs {
    pub(super) args: Vec<String>,
    /// Linearizable(l) or Serializable(s)
    #[arg(long, default_value = "l")]
    pub(super) consistency: String,
    /// Order of results; ASCEND or DESCEND (ASCEND by default)
    #[arg(long, default_value = "")]
    pub(super) order: String,
    /// Sort target; CREATE, KEY, MODIFY, VALUE, or VERSION
    #[arg(long, default_value = "")]
    pub(super) sort_by: String,
    /// Maximum number of results
    #[arg(long, default_value = "0", value_parser = number, allow_hyphen_values = true)]
    pub(super) limit: i64,
    /// Get keys with matching prefix
    #[arg(long)]
    pub(super) prefix: bool,
    /// Get keys that are greater than or equal to the given key using byte compare
    #[arg(long)]
    pub(super) from_key: bool,
    /// Specify the kv revision
    #[arg(long, default_value = "0", value_parser = number, allow_hyphen_values = true)]
    pub(super) rev: i64,
    /// Get only the keys
    #[arg(long)]
    pub(super) keys_only: bool,
    /// Get only the count
    #[arg(long)]
    pub(super) count_only: bool,
    /// Only write values when using the "simple" output format
    #[arg(long)]
    pub(super) print_value_only: bool,
    /// Minimum create revision
    #[arg(long, default_value = "0", value_parser = number)]
    pub(super) min_create_rev: i64,
    /// Maximum create revision
    #[arg(long, default_value = "0", value_parser = number)]
    pub(super) max_create_rev: i64,
    /// Minimum modification revision
    #[arg(long, default_value = "0", value_parser = number)]
    pub(super) min_mod_rev: i64,
    /// Maximum modification revision
    #[arg(long, default_value = "0", value_parser = number)]
    pub(super) max_mod_rev: i64,
    /// Get the result in pieces
    #[arg(long)]
    pub(super) stream: bool,
}

#[derive(Clone, Debug, Args)]
pub(super) struct DelArgs {
    pub(super) args: Vec<String>,
    /// Delete keys with matching prefix
    #[arg(long)]
    pub(super) prefix: bool,
    /// Return deleted key-value pairs
    #[arg(long)]
    pub(super) prev_kv: bool,
    /// Delete keys that are greater than or equal to the given key using byte compare
    #[arg(long)]
    pub(super) from_key: bool,
    /// Delete range of keys without delay
    #[arg(long)]
    pub(super) range: bool,
}

#[derive(Clone, Debug, Args)]
pub(super) struct WatchArgs {
    pub(super) args: Vec<String>,
    /// Interactive mode
    #[arg(short, long)]
    pub(super) interactive: bool,
    /// Watch on a prefix if prefix is set
    #[arg(long)]
    pub(super) prefix: bool,
    /// Revision to start watching
    #[arg(long, default_value = "0", value_parser = number, allow_hyphen_values = true)]
    pub(super) rev: i64,
    /// Get the previous key-value pair before the event happens
    #[arg(long)]
    pub(super) prev_kv: bool,
    /// Get periodic watch progress notification from server
    #[arg(long)]
    pub(super) progress_notify: bool,
    /// Command to run for each event
    #[arg(last = true)]
    pub(super) exec: Vec<String>,
}

#[derive(Clone, Debug, Subcommand)]
pub(super) enum LeaseVerb {
    /// Creates leases
    Grant { args: Vec<String> },
    /// Revokes leases
    Revoke { args: Vec<String> },
    /// Get lease information
    Timetolive {
        args: Vec<String>,
        /// Get keys attached to this lease
        #[arg(long)]
        keys: bool,
    },
    /// List all active leases
    List,
    /// Keeps leases alive (renew)
    KeepAlive {
        args: Vec<String>,
        /// Resets the keep-alive time to its original value and exits immediately
        #[arg(long)]
        once: bool,
    },
}

#[derive(Clone, Debug, Subcommand)]
pub(super) enum MemberVerb {
    /// Lists all members in the cluster
    List {
        args: Vec<String>,
        /// Linearizable(l) or Serializable(s)
        #[arg(long, default_value = "l")]
        consistency: String,
    },
    /// Adds a member into the cluster
    Add {
        args: Vec<String>,
        /// Comma separated peer URLs for the new member.
        #[arg(long, default_value = "")]
        peer_urls: String,
        /// Indicates if the new member is raft learner
        #[arg(long)]
        learner: bool,
    },
    /// Removes a member from the cluster
    Remove { args: Vec<String> },
    /// Updates a member in the cluster
    Update {
        args: Vec<String>,
        /// Comma separated peer URLs for the updated member.
        #[arg(long, default_value = "")]
        peer_urls: String,
    },
    /// Promotes a non-voting member in the cluster
    Promote { args: Vec<String> },
}

#[derive(Clone, Debug, Subcommand)]
pub(super) enum EndpointVerb {
    /// Checks the healthiness of endpoints specified in `--endpoints` flag
    Health {
        /// Use all endpoints from the cluster member list
        #[arg(long)]
        cluster: bool,
    },
    /// Prints out the status of endpoints specified in `--endpoints` flag
    Status {
        /// Use all endpoints from the cluster member list
        #[arg(long)]
        cluster: bool,
    },
    /// Prints the KV history hash for each endpoint in --endpoints
    Hashkv {
        /// Use all endpoints from the cluster member list
        #[arg(long)]
        cluster: bool,
        /// Maximum revision to hash (default: latest revision)
        #[arg(long, default_value = "0", value_parser = number)]
        rev: i64,
    },
}

#[derive(Clone, Debug, Subcommand)]
pub(super) enum SnapshotVerb {
    /// Stores an etcd node backend snapshot to a given file
    Save { args: Vec<String> },
}

#[derive(Clone, Debug, Subcommand)]
pub(super) enum AlarmVerb {
    /// Lists all alarms
    List,
    /// Disarms all alarms
    Disarm,
}

/// One operation of a transaction, as a command line of its own.
#[derive(Debug, Parser)]
#[command(no_binary_name = true, disable_help_subcommand = true)]
pub(super) enum OpLine {
    Put(PutArgs),
    Get(GetArgs),
    Del(DelArgs),
}

/// One line of `watch -i`.
#[derive(Debug, Parser)]
#[command(no_binary_name = true, disable_help_subcommand = true)]
pub(super) enum WatchLine {
    Watch(WatchArgs),
    Progress,
}

/// What came of reading the command line.
pub(super) enum Parsed {
    Run(Box<Cli>),
    /// Something to print, and be done.
    Print(String),
}

/// Reads arguments and `ETCDCTL_*`.
pub(super) fn parse(args: &[String], env: &BTreeMap<String, String>) -> Result<Parsed, CtlError> {
    let command = go_switches(Cli::command());
    let matches = match command.clone().try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) => return explain(&error),
    };
    let mut args: Vec<OsString> = args.iter().map(OsString::from).collect();
    for arg in command.get_arguments().filter(|arg| arg.is_global_set()) {
        let Some(name) = arg.get_long() else { continue };
        let variable = format!("ETCDCTL_{}", name.to_uppercase().replace('-', "_"));
        let Some(value) = env.get(&variable).filter(|value| !value.is_empty()) else { continue };
        if is_given(&matches, arg) {
            return Err(CtlError::general(format!(
                "conflicting environment variable {variable:?} is shadowed by corresponding \
                 command-line flag (either unset environment variable or disable flag)"
            )));
        }
        args.insert(1, format!("--{name}={value}").into());
    }
    match command.try_get_matches_from(args).and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli.global.check().map(|()| Parsed::Run(Box::new(cli))),
        Err(error) => explain(&error),
    }
}

/// Reads a line that is a command of its own.
pub(super) fn parse_line<P: Parser>(words: &[String]) -> Option<P> {
    let matches = go_switches(P::command()).try_get_matches_from(words).ok()?;
    P::from_arg_matches(&matches).ok()
}

impl Global {
    /// How to print.
    pub(super) fn format(&self) -> Result<Format, CtlError> {
        match self.write_out.as_str() {
            "simple" => Ok(Format::Simple),
            "json" => Ok(Format::Json),
            "fields" => Ok(Format::Fields),
            "table" => Ok(Format::Table),
            _ => Err(CtlError::bad_feature("unsupported output format")),
        }
    }

    fn check(&self) -> Result<(), CtlError> {
        let tls = &self.unsupported;
        let is_secure = [&tls.cert, &tls.key, &tls.cacert].iter().any(|file| file.is_some());
        if is_secure || tls.insecure_skip_tls_verify || !self.insecure_transport {
            return Err(CtlError::bad_feature("TLS is not supported yet"));
        }
        if [&tls.user, &tls.password, &tls.auth_jwt_token].iter().any(|text| text.is_some()) {
            return Err(CtlError::bad_feature("authentication is not supported yet"));
        }
        if tls.discovery_srv.is_some() || tls.discovery_srv_name.is_some() {
            return Err(CtlError::bad_feature("discovery is not supported yet"));
        }
        Ok(())
    }
}

fn is_given(matches: &ArgMatches, arg: &Arg) -> bool {
    let here = matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine);
    here || matches.subcommand().is_some_and(|(_, deeper)| is_given(deeper, arg))
}

/// Lets every switch be given as `--switch=false` too.
fn go_switches(command: Command) -> Command {
    command
        .mut_args(|arg| match arg.get_action() {
            ArgAction::SetTrue => arg
                .action(ArgAction::Set)
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true")
                .default_value("false")
                .value_parser(BoolishValueParser::new()),
            _ => arg,
        })
        .mut_subcommands(go_switches)
}

fn number(text: &str) -> Result<i64, String> {
    text::parse_int(text, 10)
}

/// clap's error in cobra's words.
fn explain(error: &clap::Error) -> Result<Parsed, CtlError> {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        _ => String::new(),
    };
    let text = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            return Ok(Parsed::Print(error.to_string()));
        }
        ErrorKind::UnknownArgument => {
            format!("unknown flag: {}", context(ContextKind::InvalidArg))
        }
        ErrorKind::InvalidSubcommand => {
            let name = context(ContextKind::InvalidSubcommand);
            format!("unknown command {name:?} for \"etcdctl\"")
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let flag = context(ContextKind::InvalidArg);
            let flag = flag.split(' ').next().unwrap_or_default();
            let value = context(ContextKind::InvalidValue);
            match error.source() {
                _ if value.is_empty() => format!("flag needs an argument: {flag}"),
                Some(why) => format!("invalid argument {value:?} for \"{flag}\" flag: {why}"),
                None => format!("invalid argument {value:?} for \"{flag}\" flag"),
            }
        }
        _ => error.to_string().trim_start_matches("error: ").trim_end().to_owned(),
    };
    Err(CtlError::general(text))
}
