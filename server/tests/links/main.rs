//! Links between nodes, over real sockets.

mod strangers;
mod support;
mod wires;
