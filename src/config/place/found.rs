//! What commands find of what gateways have left.

use std::cmp::Reverse;
use std::net::SocketAddr;
use std::time::SystemTime;

use super::trust::Directory;
use super::{ADDRESS, Kind, Place, TOKEN};
use crate::types::Token;

/// A gateway that was begun, and may be there still.
#[derive(Debug)]
pub struct Found {
    /// Where its `Admin` listens.
    pub address: SocketAddr,
    /// The error is for a person.
    pub token: Result<Token, String>,
    begun: SystemTime,
}

/// Everything that was found.
#[derive(Debug, Default)]
pub struct Findings {
    /// The one that was begun last is the first.
    pub gateways: Vec<Found>,
    /// What is there and is not believed, and why: for a person.
    pub aside: Vec<String>,
}

impl Findings {
    pub fn in_places(places: &[Place]) -> Self {
        let mut findings = Self::default();
        for place in places {
            match place.look() {
                Ok(Some(found)) => findings.gateways.push(found),
                Ok(None) => {}
                Err(why) => findings.aside.push(why),
            }
        }
        findings.gateways.sort_by_key(|found| Reverse(found.begun));
        findings
    }
}

impl Place {
    fn look(&self) -> Result<Option<Found>, String> {
        let found = self.read_address();
        found.map_err(|why| match self.kind {
            Kind::Data => format!(
                "{why}; where it is the right one, say --data {}",
                self.directory.display()
            ),
            Kind::Named | Kind::Own => why,
        })
    }

    fn read_address(&self) -> Result<Option<Found>, String> {
        let Some(directory) = Directory::open(&self.directory, self.trust())? else {
            return Ok(None);
        };
        let Some(written) = directory.read(ADDRESS)? else {
            return Ok(None);
        };
        let file = self.address_file();
        let address = written.text.parse();
        let address = address
            .map_err(|_| format!("{} has no address: {:?}", file.display(), written.text))?;
        Ok(Some(Found {
            address,
            token: self.read_token(&directory),
            begun: written.at,
        }))
    }

    fn read_token(&self, directory: &Directory) -> Result<Token, String> {
        let file = self.token_file();
        let written = directory.read(TOKEN)?.ok_or_else(|| {
            format!(
                "{} is not there: say the token by --token-file FILE or TIDEGATE_ADMIN__TOKEN",
                file.display()
            )
        })?;
        Token::new(&written.text).ok_or_else(|| format!("{} has no token", file.display()))
    }
}
