//! The errors that clients can get, with the prefix and wording of Redis 7.2 where Redis has them.
//!
//! The prefix is what programs read, the rest is for people. Adding an error is one row here. Bytes
//! of clients that are no UTF-8 are shown with replacement characters; all else is as in Redis.

use thiserror::Error;

use crate::args::Args;
use crate::dump::DumpError;
use crate::reply::Reply;

/// How much of a client's words an error repeats, as in Redis.
const ECHO_BYTES_MAX: usize = 128;

/// Why a command was not done. Unless a row says otherwise, nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CommandError {
    // The request as such.
    /// No such command; made by [`CommandError::unknown_command`].
    #[error("ERR unknown command '{name}', with args beginning with: {args}")]
    UnknownCommand {
        /// The first 128 bytes of the name.
        name: String,
        /// The first arguments, quoted.
        args: String,
    },
    /// The command has no such subcommand; made by [`CommandError::unknown_subcommand`].
    #[error("ERR unknown subcommand '{name}'. Try {} HELP.", command.to_uppercase())]
    UnknownSubcommand {
        /// The command.
        command: &'static str,
        /// The first 128 bytes of what was asked for.
        name: String,
    },
    /// Too few or too many arguments; the name is the table's, such as `config|get`.
    #[error("ERR wrong number of arguments for '{0}' command")]
    WrongArity(&'static str),
    /// Words in an order that the command does not know.
    #[error("ERR syntax error")]
    Syntax,
    /// The prefix and the whole text, for what occurs in one place only.
    #[error("{0}")]
    Text(String),
    /// As [`CommandError::Text`], for a text that is always the same.
    #[error("{0}")]
    Fixed(&'static str),

    // Values.
    /// The key holds another type.
    #[error("WRONGTYPE Operation against a key holding the wrong kind of value")]
    WrongType,
    /// No 64-bit integer where one must stand.
    #[error("ERR value is not an integer or out of range")]
    NotInteger,
    /// An integer beyond the bounds of its place.
    #[error("ERR value is out of range")]
    OutOfRange,
    /// A negative integer where only others make sense.
    #[error("ERR value is out of range, must be positive")]
    NotPositive,
    /// A counter cannot hold the sum.
    #[error("ERR increment or decrement would overflow")]
    Overflow,
    /// The smallest integer has no opposite.
    #[error("ERR decrement would overflow")]
    DecrementOverflow,
    /// No number where one must stand.
    #[error("ERR value is not a valid float")]
    NotFloat,
    /// A sum that is no number.
    #[error("ERR increment would produce NaN or Infinity")]
    NanOrInfinity,
    /// An increment that is no finite number.
    #[error("ERR value is NaN or Infinity")]
    ValueNanOrInfinity,
    /// A hash's field is no integer.
    #[error("ERR hash value is not an integer")]
    HashNotInteger,
    /// A hash's field is no number.
    #[error("ERR hash value is not a float")]
    HashNotFloat,
    /// A bound of a range of scores is no number.
    #[error("ERR min or max is not a float")]
    RangeNotFloat,
    /// A bound of a range of names has no bracket.
    #[error("ERR min or max not valid string range item")]
    RangeNotString,
    /// A value would become longer than a value may be.
    #[error("ERR string exceeds maximum allowed size (proto-max-bulk-len)")]
    StringTooLong,
    /// A position before the first one.
    #[error("ERR offset is out of range")]
    OffsetOutOfRange,
    /// A bit's position is none.
    #[error("ERR bit offset is not an integer or out of range")]
    BitOffset,
    /// A bit is neither 0 nor 1.
    #[error("ERR bit is not an integer or out of range")]
    BitValue,
    /// A count of keys that is none.
    #[error("ERR numkeys should be greater than 0")]
    NumKeys,
    /// A cursor that no SCAN has given out.
    #[error("ERR invalid cursor")]
    InvalidCursor,
    /// An expiry in the past of all clocks, or beyond what can be counted.
    #[error("ERR invalid expire time in '{0}' command")]
    InvalidExpire(&'static str),
    /// Options of EXPIRE that exclude each other.
    #[error("ERR NX and XX, GT or LT options at the same time are not compatible")]
    ExpireOptions,
    /// GT and LT of EXPIRE together.
    #[error("ERR GT and LT options at the same time are not compatible")]
    ExpireGtLt,
    /// A timeout that is no number.
    #[error("ERR timeout is not an integer or out of range")]
    TimeoutNotInteger,
    /// A timeout that is no number of seconds.
    #[error("ERR timeout is not a float or out of range")]
    TimeoutNotFloat,
    /// A timeout beyond all clocks.
    #[error("ERR timeout is out of range")]
    TimeoutOutOfRange,
    /// CLIENT UNBLOCK with ERROR ended the waiting.
    #[error("UNBLOCKED client unblocked via CLIENT UNBLOCK")]
    Unblocked,
    /// A timeout below 0.
    #[error("ERR timeout is negative")]
    TimeoutNegative,

    // Keys.
    /// The command needs a key that exists.
    #[error("ERR no such key")]
    NoSuchKey,
    /// A list has no such position.
    #[error("ERR index out of range")]
    IndexOutOfRange,
    /// A key onto itself.
    #[error("ERR source and destination objects are the same")]
    SameObject,
    /// RESTORE would replace a key.
    #[error("BUSYKEY Target key name already exists.")]
    BusyKey,
    /// RESTORE was given a payload that is no value.
    #[error("ERR {0}")]
    Dump(#[from] DumpError),
    /// No such database.
    #[error("ERR DB index is out of range")]
    DatabaseIndex,
    /// A key of more bytes than a key may have.
    #[error("ERR key is longer than {0} bytes")]
    KeyTooLong(usize),

    // Connections.
    /// A password comes first.
    #[error("NOAUTH Authentication required.")]
    NoAuth,
    /// HELLO before the password.
    #[error(
        "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO \
         <proto> AUTH <user> <pass> option can be used to authenticate the client and select the \
         RESP protocol version at the same time"
    )]
    HelloNoAuth,
    /// Another password or user.
    #[error("WRONGPASS invalid username-password pair or user is disabled.")]
    WrongPass,
    /// AUTH where nothing asks for it.
    #[error(
        "ERR AUTH <password> called without any password configured for the default user. Are you \
         sure your configuration is correct?"
    )]
    NoPasswordSet,
    /// A version of the protocol other than 2 and 3.
    #[error("NOPROTO unsupported protocol version")]
    NoProto,
    /// A version of the protocol that is no number.
    #[error("ERR Protocol version is not an integer or out of range")]
    ProtocolNotInteger,
    /// A word that HELLO does not know.
    #[error("ERR Syntax error in HELLO option '{0}'")]
    HelloOption(String),
    /// As many connections as there may be; the connection ends.
    #[error("ERR max number of clients reached")]
    MaxClients,
    /// A connection from outside while nobody has set a password; the connection ends.
    #[error(
        "DENIED Larder is running in protected mode because protected mode is enabled and no \
         password is set for the default user. In this mode connections are only accepted from the \
         loopback interface. To connect from other computers, set requirepass in the configuration \
         file or environment, or disable protected mode with 'CONFIG SET protected-mode no' sent \
         over the loopback interface."
    )]
    ProtectedMode,
    /// CLIENT KILL found nobody.
    #[error("ERR No such client")]
    NoSuchClient,
    /// CLIENT SETNAME with a name that would break CLIENT LIST.
    #[error("ERR Client names cannot contain spaces, newlines or special characters.")]
    ClientName,
    /// CLIENT SETINFO with a value that would break CLIENT LIST; the word is `lib-name` or
    /// `lib-ver`.
    #[error("ERR {0} cannot contain spaces, newlines or special characters.")]
    ClientInfo(&'static str),
    /// A word that a subcommand does not know.
    #[error("ERR Unrecognized option '{0}'")]
    UnrecognizedOption(String),

    // Transactions.
    /// MULTI inside MULTI.
    #[error("ERR MULTI calls can not be nested")]
    NestedMulti,
    /// WATCH inside MULTI.
    #[error("ERR WATCH inside MULTI is not allowed")]
    WatchInMulti,
    /// EXEC or DISCARD without MULTI.
    #[error("ERR {0} without MULTI")]
    WithoutMulti(&'static str),
    /// A command that cannot be queued.
    #[error("ERR Command not allowed inside a transaction")]
    NotInTransaction,
    /// EXEC after a command could not be queued.
    #[error("EXECABORT Transaction discarded because of previous errors.")]
    ExecAbort,
    /// EXEC that could not run; made by [`CommandError::aborted_by`].
    #[error("EXECABORT Transaction discarded because of: {0}")]
    ExecAbortedBy(String),
    /// A command about all keys, where several nodes have them.
    #[error("CROSSSLOT {} inside MULTI needs one node that leads all keys", .0.to_uppercase())]
    WholeInTransaction(&'static str),
    /// `R n` inside MULTI.
    #[error("ERR R n is not possible inside MULTI")]
    ReadCopiesInTransaction,
    /// More words queued than one request may have.
    #[error("ERR a transaction has at most {0} words")]
    TransactionWords(usize),
    /// More bytes queued than one message may have.
    #[error("ERR a transaction has at most {0} bytes")]
    TransactionBytes(usize),
    /// FLUSHDB or FLUSHALL inside MULTI where there is too much to remove at once.
    #[error("ERR more than {0} keys cannot be removed inside MULTI")]
    FlushInTransaction(u64),
    /// In place of a reply that another node has no room for; its command was done.
    #[error("ERR the replies of the transaction are too long")]
    BatchReplyTooLong,

    // The node.
    /// CONFIG SET with a name that no setting has.
    #[error("ERR Unknown option or number of arguments for CONFIG SET - '{0}'")]
    ConfigUnknown(String),
    /// CONFIG SET with a value that its setting cannot take; all settings are as before.
    #[error("ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}")]
    ConfigFailed {
        /// The setting, as the client wrote it.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// CONFIG REWRITE without a file.
    #[error("ERR The server is running without a config file")]
    ConfigNoFile,
    /// CONFIG REWRITE could not write; the file is as before.
    #[error("ERR Rewriting config file: {0}")]
    ConfigRewrite(String),
    /// DEBUG is switched off.
    #[error(
        "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", \
         you can run it from a local connection, otherwise you need to set this option in the \
         configuration file, and then restart the server."
    )]
    DebugNotAllowed,
    /// The node has not read its data yet.
    #[error("LOADING Larder is loading the dataset in memory")]
    Loading,
    /// The disk refused a write, so that none is taken any more.
    #[error("MISCONF Writes are refused since the disk failed: {0}. Reads go on.")]
    DiskFailed(String),

    // The cluster.
    /// A context that is damaged, forged, of another key or of another cluster.
    #[error("BADCONTEXT {0}")]
    BadContext(&'static str),
    /// A read reached nobody who could know.
    #[error("NOREPLICA no replica of this key can be reached, so its value is not known here")]
    NoReplica,
    /// Fewer replicas than asked for have the write in time. The write stands, and the others get
    /// it later.
    #[error("PARTIAL written on {done} of {wanted} replicas")]
    Partial {
        /// How many have it durably.
        done: usize,
        /// How many were asked for.
        wanted: usize,
    },
    /// A quorum of reads was asked for and not reached in time.
    #[error("PARTIAL read from {done} of {wanted} replicas")]
    PartialRead {
        /// How many answered.
        done: usize,
        /// How many were asked for.
        wanted: usize,
    },
    /// Keys of several partitions in one atomic command.
    #[error("CROSSSLOT Keys in request don't hash to the same slot")]
    CrossSlot,
    /// Another node did not answer in time. Whether it did the command is not known.
    #[error("TIMEOUT no answer from the node that holds the key: the outcome is unknown")]
    OutcomeUnknown,
    /// A part of the cluster did not answer a command that speaks for all of it.
    #[error("NOREPLICA {missing} of {partitions} partitions cannot be reached")]
    PartitionsUnreachable {
        /// How many did not answer.
        missing: usize,
        /// How many there are.
        partitions: usize,
    },
}

impl CommandError {
    /// The error for a command that no row has; `args` are the whole request.
    #[must_use]
    pub fn unknown_command(args: Args<'_>) -> Self {
        let mut preview = Vec::new();
        for arg in args.iter().skip(1) {
            let Some(room) = ECHO_BYTES_MAX
                .checked_sub(preview.len())
                .filter(|room| *room > 0)
            else {
                break;
            };
            preview.push(b'\'');
            preview.extend_from_slice(printed(arg, room));
            preview.extend_from_slice(b"' ");
        }
        Self::UnknownCommand {
            name: echo(args.get(0).unwrap_or_default()),
            args: String::from_utf8_lossy(&preview).into_owned(),
        }
    }

    /// The error for a subcommand that no row of `command` has.
    #[must_use]
    pub fn unknown_subcommand(command: &'static str, name: &[u8]) -> Self {
        Self::UnknownSubcommand {
            command,
            name: echo(name),
        }
    }

    /// The error of an EXEC that could not run because of this one, without Redis's usual prefix.
    #[must_use]
    pub fn aborted_by(&self) -> Self {
        let text = self.to_string();
        Self::ExecAbortedBy(text.strip_prefix("ERR ").unwrap_or(&text).to_owned())
    }

    /// Appends the error to `reply`.
    pub fn write_to(&self, reply: &mut Reply) {
        reply.error_from(self);
    }

    /// The first word: what programs tell errors apart by, and what INFO counts.
    #[must_use]
    pub fn prefix(&self) -> String {
        let text = self.to_string();
        text.split([' ', '\r', '\n'])
            .next()
            .unwrap_or("ERR")
            .to_owned()
    }
}

/// What a client wrote, for an error's text: its first bytes, up to a zero byte as Redis has it.
#[must_use]
pub fn echo(word: &[u8]) -> String {
    String::from_utf8_lossy(printed(word, ECHO_BYTES_MAX)).into_owned()
}

fn printed(word: &[u8], bytes_max: usize) -> &[u8] {
    let until_zero = word.split(|byte| *byte == 0).next().unwrap_or(word);
    until_zero.get(..bytes_max).unwrap_or(until_zero)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::OwnedArgs;

    fn line(error: &CommandError) -> String {
        let mut reply = Reply::default();
        error.write_to(&mut reply);
        String::from_utf8(reply.into_vec()).expect("errors are text")
    }

    #[test]
    fn an_unknown_command_repeats_the_first_arguments() {
        let request = OwnedArgs::new(&[b"FOO", b"bar", b"a\r\nb", b"x\0y"]);
        assert_eq!(
            line(&CommandError::unknown_command(request.as_args())),
            "-ERR unknown command 'FOO', with args beginning with: 'bar' 'a  b' 'x' \r\n"
        );
    }

    #[test]
    fn an_unknown_command_repeats_128_bytes_at_most() {
        let long = vec![b'x'; 4 * ECHO_BYTES_MAX];
        let request = OwnedArgs::new(&[&long, &long, &long]);
        let text = line(&CommandError::unknown_command(request.as_args()));
        let shown = "x".repeat(ECHO_BYTES_MAX);
        assert_eq!(
            text,
            format!("-ERR unknown command '{shown}', with args beginning with: '{shown}' \r\n")
        );
    }

    #[test]
    fn an_error_is_one_line_whatever_its_words() {
        let error = CommandError::ConfigUnknown("a\r\n+OK\r\n".to_owned());
        let text = line(&error);
        assert_eq!(text.matches('\n').count(), 1);
        assert_eq!(
            text,
            "-ERR Unknown option or number of arguments for CONFIG SET - 'a  +OK  '\r\n"
        );
    }

    #[test]
    fn the_prefix_is_the_first_word() {
        assert_eq!(CommandError::WrongType.prefix(), "WRONGTYPE");
        assert_eq!(CommandError::Syntax.prefix(), "ERR");
        let partial = CommandError::Partial { done: 1, wanted: 2 };
        assert_eq!(partial.prefix(), "PARTIAL");
    }
}
