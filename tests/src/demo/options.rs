//! What the demo is asked for.

/// The text of `--help`.
pub const HELP: &str = "\
usage: ./x demo [--once] [--json]

  --once   end after the walk; exit status 0 only if every step held
  --json   one JSON object per line instead of text
  --help   this text

Colours are for terminals; NO_COLOR switches them off.
";

/// What the demo is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// End after the walk.
    pub once: bool,
    /// Speak to a machine.
    pub json: bool,
    /// Only say how to use it.
    pub help: bool,
}

impl Options {
    /// Reads the arguments behind the program's name.
    ///
    /// # Errors
    /// The first one that is not known.
    pub fn read(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self::default();
        for argument in arguments {
            match argument.as_str() {
                "--once" => options.once = true,
                "--json" => options.json = true,
                "--help" | "-h" => options.help = true,
                _ => return Err(argument),
            }
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Options, String> {
        Options::read(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn flags_combine_and_unknown_ones_are_named() {
        assert_eq!(read(""), Ok(Options::default()));
        assert_eq!(
            read("--json --once"),
            Ok(Options {
                once: true,
                json: true,
                help: false
            })
        );
        assert_eq!(read("--once --fast"), Err("--fast".to_owned()));
    }
}
