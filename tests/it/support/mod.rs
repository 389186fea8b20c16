//! The words that the tests speak: a gateway in this process or in its own, its clients, the handlers that
//! it calls, a browser by hand, and real input.

mod backend;
mod browser;
mod example;
mod faults;
mod figures;
mod files;
mod gateway;
mod nginx;
mod notes;
mod postgres;
mod process;
mod service;
mod small_disk;
mod trace;
mod until_final;
mod watch;
mod web;

pub use backend::{Backend, Call, Conduct};
pub use browser::{Browser, Tab};
pub use example::Example;
pub use faults::{Faults, Ids};
pub use figures::{median, quantile};
pub use files::serve_files;
pub use gateway::{ADMIN_TOKEN, Gateway, custom, gateway, small};
pub use nginx::{Door, Nginx};
pub use notes::{Notes, echo, text};
pub use postgres::Postgres;
pub use process::{Process, Setup};
pub use service::{Line, Running, Service, answers, echoed, said};
pub use small_disk::SmallDisk;
pub use trace::Trace;
pub use until_final::until_final;
pub use watch::{Watched, event, message, messages_until, watch};
pub use web::{Answer, Wire, frame, frames, post};
