//! The crowd: fans who buy, those who look whether the server is well, and the office that makes performances.

pub(crate) mod fan;
pub(crate) mod probe;
pub(crate) mod scene;
pub(crate) mod settle;
pub(crate) mod shows;
