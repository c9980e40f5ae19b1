//! Showing places live. One family of names: a *watch* is one subscription, a *watcher* a person with all their watches on
//! this instance, a *screen* what a watcher is shown, a *view* what stands on it.
//!
//! `follow` feeds each watched `room` with what Redis and the journal say, `presence` tells that its watchers are here,
//! `positions` is the arithmetic in between, and `passes` know whose turn it is. `rules` says how often something is shown.

mod follow;
mod passes;
mod positions;
mod presence;
mod room;
mod rooms;
mod screen;
mod view;
mod watch;

pub(super) use passes::Found;
pub(super) use rooms::Rooms;
pub use watch::Watch;
