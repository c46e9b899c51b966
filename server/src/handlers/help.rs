//! HELP of DEBUG, whose subcommands have no rows of their own.

use larder_commands::reply::Reply;

/// What a HELP says.
pub(super) struct Help {
    /// The command.
    pub(super) command: &'static str,
    /// Subcommands, each followed by indented lines of meaning.
    pub(super) lines: &'static [&'static str],
}

impl Help {
    pub(super) fn write_to(&self, reply: &mut Reply) {
        reply.array(self.lines.len() + 3);
        reply.simple(&format!(
            "{} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
            self.command
        ));
        for line in self.lines.iter().chain(&["HELP", "    Print this help."]) {
            reply.simple(line);
        }
    }
}

/// DEBUG HELP.
pub(super) const DEBUG: Help = Help {
    command: "DEBUG",
    lines: &[
        "CHANGE-REPL-ID, LOADAOF, QUICKLIST-PACKED-THRESHOLD <size>, RELOAD",
        "    Accepted, without effect.",
        "ERROR <string>",
        "    Reply with an error of this text.",
        "LINK <node-id or its beginning|address|*> CUT|HEAL|DELAY <milliseconds>",
        "    Cut, heal or delay the link with a peer; * is all of them.",
        "LOG <message>",
        "    Write <message> to the log.",
        "PROTOCOL <type>",
        "    Reply with a test value of the specified type: STRING, INTEGER, DOUBLE, NULL,",
        "    ARRAY, SET, MAP, ATTRIB, PUSH, VERBATIM, TRUE, FALSE or BIGNUM.",
        "SET-ACTIVE-EXPIRE <0|1>",
        "    Accepted, without effect: what has expired is never seen.",
        "SLEEP <seconds>",
        "    Stop this connection for <seconds>. Decimals allowed.",
    ],
};
