//! Where addresses are registered, by an operator's MaxMind DB file (format: MaxMind DB 2.0, city records).

use std::{fmt, net::IpAddr, path::Path, sync::Arc};

use domain::Place;
use maxminddb::{Reader, geoip2};

/// A file of places, read into memory once.
#[derive(Clone)]
pub struct Places(Arc<Reader<Vec<u8>>>);

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Places(…)")
    }
}

/// A file that holds no places.
#[derive(Debug, thiserror::Error)]
#[error("no MaxMind DB file: {0}")]
pub struct BadPlaces(String);

impl Places {
    /// Reads a file.
    pub fn open(file: &Path) -> Result<Self, BadPlaces> {
        Reader::open_readfile(file).map(|reader| Self(Arc::new(reader))).map_err(|error| BadPlaces(error.to_string()))
    }

    /// The place of an address, when the file knows it.
    pub(crate) fn find(&self, address: IpAddr) -> Option<Place> {
        let city: geoip2::City<'_> = self.0.lookup(address).ok()?.decode().ok()??;
        let micros = |degrees: Option<f64>| degrees.map(|degrees| (degrees * 1e6).round() as i64);
        Some(Place {
            country: city.country.iso_code.map(str::to_owned),
            city: city.city.names.english.map(str::to_owned),
            state: city.subdivisions.first().and_then(|it| it.names.english).map(str::to_owned),
            latitude_micros: micros(city.location.latitude),
            longitude_micros: micros(city.location.longitude),
        })
    }
}
