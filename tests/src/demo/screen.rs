//! What the demo shows, to people or to machines.

use std::cell::RefCell;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use serde_json::{Value as Json, json};

/// Columns of text; longer replies are cut.
const COLUMNS: usize = 96;

/// Lines of a reply that people see.
const REPLY_LINES: usize = 8;

/// Foreground colours of the nodes, in their order.
const NODE_COLOURS: &[u8] = &[36, 33, 35, 32, 34];
const BOLD: u8 = 1;
const DIM: u8 = 2;
const GREEN: u8 = 32;
const RED: u8 = 31;

/// Where the demo speaks.
pub struct Screen {
    is_json: bool,
    has_colours: bool,
    out: RefCell<Box<dyn Write>>,
}

impl Screen {
    /// Standard output; colours only where they can be seen and are wanted.
    #[must_use]
    pub fn new(is_json: bool) -> Self {
        let out = std::io::stdout();
        let is_wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let has_colours = !is_json && is_wanted && out.is_terminal();
        Self {
            is_json,
            has_colours,
            out: RefCell::new(Box::new(out)),
        }
    }

    /// The first lines.
    pub fn opening(&self, title: &str, subtitle: &str) {
        self.event(json!({"event": "begin", "title": title, "about": subtitle}));
        self.line("");
        self.line(&format!("  {}  {subtitle}", self.paint(title, BOLD)));
        self.line("");
    }

    /// A new part of the walk.
    pub fn chapter(&self, number: usize, title: &str) {
        self.event(json!({"event": "chapter", "number": number, "title": title}));
        let title = self.paint(&format!("{number}. {title}"), BOLD);
        self.line(&format!("\n  {title}\n"));
    }

    /// A sentence or more, in plain words.
    pub fn say(&self, text: &str) {
        self.event(json!({"event": "say", "text": text}));
        for line in wrap(text, COLUMNS - 4) {
            self.line(&format!("  {line}"));
        }
    }

    /// Lines as they are, such as a list or a picture.
    pub fn show(&self, lines: &[String]) {
        self.event(json!({"event": "show", "lines": lines}));
        for line in lines {
            self.line(&format!("      {line}"));
        }
        self.line("");
    }

    /// A command at a node and its reply. Long words of either are cut for people.
    pub fn command(&self, node: Option<usize>, line: &str, reply: &str) {
        self.event(json!({"event": "command", "line": line, "reply": reply}));
        let shown = cut(line, 3 * COLUMNS);
        let prompt = node.map_or_else(|| "$".to_owned(), |node| self.node(node, "$"));
        self.line(&format!("    {prompt} {shown}"));
        let lines: Vec<&str> = reply.lines().collect();
        for line in lines.iter().take(REPLY_LINES) {
            let line = cut(line, 2 * COLUMNS);
            self.line(&format!("      {}", self.paint(&line, DIM)));
        }
        if lines.len() > REPLY_LINES {
            self.line(&format!("      {}", self.paint("…", DIM)));
        }
    }

    /// Something that was checked.
    pub fn held(&self, claim: &str, took: Duration) {
        let seconds = took.as_secs_f64();
        self.event(json!({"event": "held", "claim": claim, "seconds": seconds}));
        let time = self.paint(&format!("({seconds:.2} s)"), DIM);
        self.line(&format!("  {} {claim} {time}", self.paint("✓", GREEN)));
    }

    /// What does not hold, and what was seen instead.
    pub fn failed(&self, why: &str) {
        self.event(json!({"event": "failed", "why": why}));
        self.line(&format!("  {} {why}", self.paint("✗", RED)));
    }

    /// An empty line.
    pub fn gap(&self) {
        self.line("");
    }

    /// The last word, for machines.
    pub fn end(&self, held: bool) {
        self.event(json!({"event": "end", "held": held}));
    }

    /// Text in the colour of a node.
    #[must_use]
    pub fn node(&self, node: usize, text: &str) -> String {
        self.paint(text, NODE_COLOURS[node % NODE_COLOURS.len()])
    }

    /// Text that is less important than what stands around it.
    #[must_use]
    pub fn dim(&self, text: &str) -> String {
        self.paint(text, DIM)
    }

    fn paint(&self, text: &str, colour: u8) -> String {
        if self.has_colours {
            format!("\x1b[{colour}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    fn line(&self, text: &str) {
        if !self.is_json {
            // Whoever closed the screen does not want to hear of it.
            let _ = writeln!(self.out.borrow_mut(), "{text}");
        }
    }

    fn event(&self, event: Json) {
        if self.is_json {
            let _ = writeln!(self.out.borrow_mut(), "{event}");
        }
    }
}

/// Breaks text at spaces so that lines have at most `columns`, if their words allow it.
fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().filter(|line| {
            line.is_empty() || line.chars().count() + 1 + word.chars().count() <= columns
        });
        match line {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) => {
                line.push(' ');
                line.push_str(word);
            }
            None => lines.push(word.to_owned()),
        }
    }
    lines
}

/// The beginning of a text, with a sign that there is more.
fn cut(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.to_owned();
    }
    text.chars().take(columns - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_at_spaces_and_long_words_stand_alone() {
        assert_eq!(
            wrap("two words and incomprehensibility", 9),
            ["two words", "and", "incomprehensibility"]
        );
    }

    #[test]
    fn what_is_cut_says_so() {
        assert_eq!(cut("ação", 4), "ação");
        assert_eq!(cut("ação!", 4), "açã…");
    }
}
