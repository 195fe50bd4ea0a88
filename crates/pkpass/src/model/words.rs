//! Apple's named constants. A word that is not known here is kept as it is, so that newer passes survive a round trip.

/// Declares an open set of words: one variant per known word, and `Other` for the rest.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(from = "String", into = "String")]
        pub enum $name {
            $($(#[$word_doc])* $variant,)*
            /// A word not known to this crate, written back unchanged.
            Other(String),
        }

        impl $name {
            /// The words known here, as they stand in `pass.json`.
            pub const KNOWN: &'static [&'static str] = &[$($word),*];

            /// The word as it stands in `pass.json`.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $word,)*
                    Self::Other(word) => word,
                }
            }
        }

        impl From<String> for $name {
            fn from(word: String) -> Self {
                match word.as_str() {
                    $($word => Self::$variant,)*
                    _ => Self::Other(word),
                }
            }
        }

        impl From<$name> for String {
            fn from(word: $name) -> Self {
                word.as_str().to_owned()
            }
        }
    };
}

pub(crate) use words;

words! {
    /// Means of transport of a boarding pass.
    TransitType {
        /// Flight.
        Air = "PKTransitTypeAir",
        /// Ship.
        Boat = "PKTransitTypeBoat",
        /// Bus.
        Bus = "PKTransitTypeBus",
        /// Anything else.
        Generic = "PKTransitTypeGeneric",
        /// Train.
        Train = "PKTransitTypeTrain",
    }
}

words! {
    /// Symbology of a barcode. The last four need iOS 27; older systems show nothing for them.
    BarcodeFormat {
        /// QR code.
        Qr = "PKBarcodeFormatQR",
        /// PDF417, wide.
        Pdf417 = "PKBarcodeFormatPDF417",
        /// Aztec.
        Aztec = "PKBarcodeFormatAztec",
        /// Code 128; not on a watch.
        Code128 = "PKBarcodeFormatCode128",
        /// Code 39.
        Code39 = "PKBarcodeFormatCode39",
        /// Codabar.
        Codabar = "PKBarcodeFormatCodabar",
        /// EAN-13.
        Ean13 = "PKBarcodeFormatEAN13",
        /// Interleaved 2 of 5.
        I2of5 = "PKBarcodeFormatI2of5",
    }
}

words! {
    /// Alignment of a field; not for primary and back fields.
    TextAlignment {
        /// Left.
        Left = "PKTextAlignmentLeft",
        /// Centre.
        Center = "PKTextAlignmentCenter",
        /// Right.
        Right = "PKTextAlignmentRight",
        /// By the writing direction.
        Natural = "PKTextAlignmentNatural",
    }
}

words! {
    /// How a date or a time is shown.
    DateStyle {
        /// Not at all.
        None = "PKDateStyleNone",
        /// Such as 11/23/37 or 3:30 PM.
        Short = "PKDateStyleShort",
        /// Such as Nov 23, 1937 or 3:30:32 PM.
        Medium = "PKDateStyleMedium",
        /// Such as November 23, 1937.
        Long = "PKDateStyleLong",
        /// With weekday or time zone.
        Full = "PKDateStyleFull",
    }
}

words! {
    /// How a number is shown.
    NumberStyle {
        /// Such as 1,234.5.
        Decimal = "PKNumberStyleDecimal",
        /// Such as 12 %.
        Percent = "PKNumberStylePercent",
        /// Such as 1.2345E3.
        Scientific = "PKNumberStyleScientific",
        /// In words.
        SpellOut = "PKNumberStyleSpellOut",
    }
}

words! {
    /// What Wallet turns into links on the back.
    DataDetector {
        /// Phone numbers.
        PhoneNumber = "PKDataDetectorTypePhoneNumber",
        /// Web addresses.
        Link = "PKDataDetectorTypeLink",
        /// Postal addresses.
        Address = "PKDataDetectorTypeAddress",
        /// Dates and times.
        CalendarEvent = "PKDataDetectorTypeCalendarEvent",
    }
}

words! {
    /// What a featured action does.
    ActionKind {
        /// Adds money.
        AddToBalance = "addToBalance",
        /// Books an appointment.
        BookAppointment = "bookAppointment",
        /// Books a car.
        BookCar = "bookCar",
        /// Books a flight.
        BookFlight = "bookFlight",
        /// Books a stay.
        BookStay = "bookStay",
        /// Calls by phone.
        Call = "call",
        /// Plays music.
        ListenToMusic = "listenToMusic",
        /// Shows what the membership brings.
        MembershipBenefits = "membershipBenefits",
        /// Orders for pick-up or delivery.
        Order = "order",
        /// Shows a place on the map.
        Place = "place",
        /// Opens a shop.
        Shop = "shop",
        /// Shows offers and rewards.
        ViewOffersRewards = "viewOffersRewards",
        /// Shows a schedule.
        ViewSchedule = "viewSchedule",
        /// Plays a trailer.
        WatchTrailer = "watchTrailer",
    }
}

impl BarcodeFormat {
    /// Whether every iOS draws it; the others need iOS 27.
    #[must_use]
    pub fn is_everywhere(&self) -> bool {
        matches!(self, Self::Qr | Self::Pdf417 | Self::Aztec | Self::Code128)
    }
}
