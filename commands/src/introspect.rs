//! COMMAND and its subcommands, and HELP of every command that has subcommands: what the table
//! says, without a look at any node.

use crate::args::Args;
use crate::error::CommandError;
use crate::glob;
use crate::plan::{self, Plan};
use crate::reply::Reply;
use crate::table::{self, Command, Find, Flag, Found, KeySpec};
use crate::usage::{self, Argument, Kind};

/// Answers a planned request if the table alone can; says whether it did.
pub fn answer(plan: &Plan, args: Args<'_>, reply: &mut Reply) -> bool {
    let before = reply.len();
    let outcome = match plan.command.name {
        "command" => {
            reply.array(table::COMMANDS);
            table::commands().for_each(|found| info(Some(found.command), reply));
            Ok(())
        }
        "command|count" => {
            reply.count(table::COMMANDS);
            Ok(())
        }
        "command|docs" => {
            docs(args.from(2), reply);
            Ok(())
        }
        "command|getkeys" => keys_of(args.from(2), reply, false),
        "command|getkeysandflags" => keys_of(args.from(2), reply, true),
        "command|info" => {
            infos(args.from(2), reply);
            Ok(())
        }
        "command|list" => list(args.from(2), reply),
        name => match name
            .strip_suffix("|help")
            .and_then(|name| table::find(name.as_bytes()))
        {
            Some(found) => {
                help(found.command, reply);
                Ok(())
            }
            None => return false,
        },
    };
    if let Err(error) = outcome {
        reply.truncate(before);
        error.write_to(reply);
    }
    true
}

fn infos(names: Args<'_>, reply: &mut Reply) {
    if names.is_empty() {
        reply.array(table::COMMANDS);
        table::commands().for_each(|found| info(Some(found.command), reply));
        return;
    }
    reply.array(names.len());
    for name in names.iter() {
        info(table::find_full(name).map(|found| found.command), reply);
    }
}

/// The ten things that COMMAND INFO tells of a command.
fn info(command: Option<&Command>, reply: &mut Reply) {
    let Some(command) = command else {
        return reply.null();
    };
    reply.array(10);
    reply.bulk(command.name.as_bytes());
    reply.integer(command.arity);
    let flags = command.flags.iter();
    let flags = flags.filter(|flag| **flag != Flag::TouchesArbitraryKeys);
    reply.set(flags.clone().count());
    flags.for_each(|flag| reply.simple(flag.word()));
    let (first, last, step) = key_range(command.keys);
    [first, last, step]
        .into_iter()
        .for_each(|number| reply.integer(number));
    reply.set(command.all_categories().count());
    command
        .all_categories()
        .for_each(|category| reply.simple(&format!("@{category}")));
    reply.set(command.tips.len());
    command
        .tips
        .iter()
        .for_each(|tip| reply.bulk(tip.as_bytes()));
    reply.set(command.keys.len());
    command.keys.iter().for_each(|spec| key_spec(spec, reply));
    // Redis gives a set if it is empty, and else an array.
    match command.subcommands.len() {
        0 => reply.set(0),
        count => reply.array(count),
    }
    command
        .subcommands
        .iter()
        .for_each(|row| info(Some(row), reply));
}

/// The old form of the key specifications: one range around them all.
fn key_range(specs: &[KeySpec]) -> (i64, i64, i64) {
    let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let mut ranges = specs.iter().map_while(|spec| match spec.find {
        Find::Range { first, last, step } => Some((number(first), last, number(step))),
        _ => None,
    });
    let Some((first, last, step)) = ranges.next() else {
        return (0, 0, 0);
    };
    (first, ranges.last().map_or(last, |(_, last, _)| last), step)
}

fn key_spec(spec: &KeySpec, reply: &mut Reply) {
    let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    reply.map(3 + usize::from(!spec.notes.is_empty()));
    if !spec.notes.is_empty() {
        text("notes", spec.notes, reply);
    }
    reply.bulk(b"flags");
    reply.set(spec.flags.len());
    spec.flags.iter().for_each(|flag| reply.simple(flag));
    // Numbers behind `begin_search` count from the first key or from the number of keys.
    reply.bulk(b"begin_search");
    let (last, step) = match spec.find {
        Find::Range { first, last, step } => {
            typed(b"index", &[("index", number(first))], reply);
            let counted = if last < 0 { last } else { last - number(first) };
            (counted, number(step))
        }
        Find::Counted(at) => {
            typed(b"index", &[("index", number(at))], reply);
            reply.bulk(b"find_keys");
            let numbers = [("keynumidx", 0), ("firstkey", 1), ("keystep", 1)];
            return typed(b"keynum", &numbers, reply);
        }
        Find::Behind(word, from) => {
            reply.map(2);
            text("type", "keyword", reply);
            reply.bulk(b"spec");
            reply.map(2);
            text("keyword", word, reply);
            reply.bulk(b"startfrom");
            reply.integer(number(from));
            (0, 1)
        }
    };
    reply.bulk(b"find_keys");
    let range = [("lastkey", last), ("keystep", step), ("limit", 0)];
    typed(b"range", &range, reply);
}

fn typed(kind: &[u8], spec: &[(&str, i64)], reply: &mut Reply) {
    reply.map(2);
    reply.bulk(b"type");
    reply.bulk(kind);
    reply.bulk(b"spec");
    reply.map(spec.len());
    for (name, number) in spec {
        reply.bulk(name.as_bytes());
        reply.integer(*number);
    }
}

fn docs(names: Args<'_>, reply: &mut Reply) {
    let found: Vec<Found> = if names.is_empty() {
        table::commands().collect()
    } else {
        names.iter().filter_map(table::find_full).collect()
    };
    reply.map(found.len());
    found.iter().for_each(|found| doc(found.command, reply));
}

fn text(name: &str, value: &str, reply: &mut Reply) {
    reply.bulk(name.as_bytes());
    reply.bulk(value.as_bytes());
}

fn doc(command: &Command, reply: &mut Reply) {
    reply.bulk(command.name.as_bytes());
    let map = reply.later();
    let mut fields = 4;
    text("summary", command.summary, reply);
    text("since", command.since, reply);
    text("group", command.group, reply);
    text("complexity", command.complexity, reply);
    if let Some((since, replaced_by)) = command.deprecated {
        fields += 3;
        reply.bulk(b"doc_flags");
        reply.set(1);
        reply.simple("deprecated");
        text("deprecated_since", since, reply);
        text("replaced_by", replaced_by, reply);
    }
    let arguments = usage::parse(command.usage);
    if !arguments.is_empty() {
        fields += 1;
        reply.bulk(b"arguments");
        let mut next_key = 0;
        doc_arguments(&arguments, command, &mut next_key, reply);
    }
    if !command.subcommands.is_empty() {
        fields += 1;
        reply.bulk(b"subcommands");
        reply.map(command.subcommands.len());
        command.subcommands.iter().for_each(|row| doc(row, reply));
    }
    reply.map_at(map, fields);
}

fn doc_arguments(
    arguments: &[Argument],
    command: &Command,
    next_key: &mut usize,
    reply: &mut Reply,
) {
    reply.array(arguments.len());
    for argument in arguments {
        let map = reply.later();
        let mut fields = 2;
        text("name", &argument.name, reply);
        text("type", argument.type_word(), reply);
        if let Kind::Value(kind) = argument.kind {
            fields += 1;
            text("display_text", &argument.name, reply);
            if kind == "key" {
                fields += 1;
                reply.bulk(b"key_spec_index");
                reply.count((*next_key).min(command.keys.len().saturating_sub(1)));
                *next_key += 1;
            }
        }
        if let Some(token) = argument.token {
            fields += 1;
            text("token", token, reply);
        }
        let flags = [
            (argument.optional, "optional"),
            (argument.multiple, "multiple"),
        ];
        let flags = flags.iter().filter(|(is_set, _)| *is_set);
        if flags.clone().count() > 0 {
            fields += 1;
            reply.bulk(b"flags");
            reply.set(flags.clone().count());
            flags.for_each(|(_, word)| reply.simple(word));
        }
        if let Kind::OneOf(inner) | Kind::Block(inner) = &argument.kind {
            fields += 1;
            reply.bulk(b"arguments");
            doc_arguments(inner, command, next_key, reply);
        }
        reply.map_at(map, fields);
    }
}

fn list(options: Args<'_>, reply: &mut Reply) -> Result<(), CommandError> {
    let is = |index: usize, word: &str| options.at(index).eq_ignore_ascii_case(word.as_bytes());
    let wanted: Box<dyn Fn(&Command) -> bool> = match options.len() {
        0 => Box::new(|_| true),
        3 if is(0, "filterby") && is(1, "module") => Box::new(|_| false),
        3 if is(0, "filterby") && is(1, "aclcat") => Box::new(|command| {
            command
                .all_categories()
                .any(|name| options.at(2).eq_ignore_ascii_case(name.as_bytes()))
        }),
        3 if is(0, "filterby") && is(1, "pattern") => {
            Box::new(|command| glob::matches_ignoring_case(options.at(2), command.name.as_bytes()))
        }
        _ => return Err(CommandError::Syntax),
    };
    let filtered = !options.is_empty();
    let names = table::rows().map(|found| found.command);
    // Only a filter looks at subcommands as well.
    let names: Vec<&Command> = names
        .filter(|row| (filtered || !row.name.contains('|')) && wanted(row))
        .collect();
    reply.array(names.len());
    names.iter().for_each(|row| reply.bulk(row.name.as_bytes()));
    Ok(())
}

fn keys_of(request: Args<'_>, reply: &mut Reply, with_flags: bool) -> Result<(), CommandError> {
    let Ok(Found { command, .. }) = plan::resolve(request) else {
        return Err(CommandError::Fixed("ERR Invalid command specified"));
    };
    if command.keys.is_empty() {
        return Err(CommandError::Fixed("ERR The command has no key arguments"));
    }
    if !command.takes(request.len()) {
        return Err(CommandError::Fixed(
            "ERR Invalid number of arguments specified for command",
        ));
    }
    let counts = command.keys.iter().filter_map(|spec| match spec.find {
        Find::Counted(_) => Some(spec.positions(request).count()),
        _ => None,
    });
    if counts.min() == Some(0) {
        return Err(CommandError::Fixed(
            "ERR Invalid arguments specified for command",
        ));
    }
    reply.array(command.key_positions(request).count());
    for spec in command.keys {
        for position in spec.positions(request) {
            if with_flags {
                let flags = flags_now(command, spec, request);
                reply.array(2);
                reply.bulk(request.at(position));
                reply.set(flags.len());
                flags.iter().for_each(|flag| reply.simple(flag));
            } else {
                reply.bulk(request.at(position));
            }
        }
    }
    Ok(())
}

/// What happens to a key depends on the arguments of SET.
fn flags_now(command: &Command, spec: &KeySpec, request: Args<'_>) -> &'static [&'static str] {
    if !spec.flags.contains(&"variable_flags") {
        return spec.flags;
    }
    debug_assert_eq!(command.name, "set");
    if request
        .from(3)
        .iter()
        .any(|word| word.eq_ignore_ascii_case(b"get"))
    {
        &["RW", "access", "update"]
    } else {
        &["OW", "update"]
    }
}

fn help(command: &Command, reply: &mut Reply) {
    let name = command.name.to_uppercase();
    let heading = format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
    let mut lines = vec![heading];
    if command.arity == -1 {
        lines.push("(no subcommand)".to_owned());
        lines.push(format!("    {}", command.summary));
    }
    for row in command.subcommands {
        let arguments = usage::shown(&usage::parse(row.usage));
        let line = format!("{} {arguments}", row.last_word().to_uppercase());
        lines.push(line.trim_end().to_owned());
        lines.push(format!("    {}", row.summary));
    }
    reply.array(lines.len());
    lines.iter().for_each(|line| reply.simple(line));
}
