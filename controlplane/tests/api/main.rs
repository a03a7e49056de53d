//! The HTTP contract against the real server on a real port, with the real data plane behind it and
//! an independent WebRTC stack (str0m) as client where media matters.
#![allow(clippy::unwrap_used)]

mod http;
mod https;
mod rtc;
mod contract;
mod limits;
mod timing;
mod negotiate;
mod shapes;
mod moves;
mod hostile;
mod media;
mod layers;
mod channels;
mod streams;
mod exchange;
mod deploy;
mod replay;
mod account;
mod dashboard;
mod usage;
mod events;
mod receiver;
mod webhooks;
mod coverage;
