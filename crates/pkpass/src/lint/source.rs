//! Where each rule stands, for whoever wants to read it at its source.

const PASS: &str = "https://developer.apple.com/documentation/walletpasses/pass";
const FIELD: &str = "https://developer.apple.com/documentation/walletpasses/passfieldcontent";
const FIELDS: &str = "https://developer.apple.com/documentation/walletpasses/passfields";
const BARCODES: &str = "https://developer.apple.com/documentation/walletpasses/pass/barcodes-data.dictionary";
const RELEVANCE: &str = "https://developer.apple.com/documentation/walletpasses/pass/relevantdates-data.dictionary";
const NFC: &str = "https://developer.apple.com/documentation/walletpasses/pass/nfc-data.dictionary";
const SEMANTICS: &str = "https://developer.apple.com/documentation/walletpasses/semantictags";
const UPCOMING: &str = "https://developer.apple.com/documentation/walletpasses/upcomingpassinformationentry";
const ACTIONS: &str =
    "https://developer.apple.com/documentation/walletpasses/defining-the-metadata-of-your-wallet-pass#Add-featured-actions";
const POSTER: &str = "https://developer.apple.com/documentation/walletpasses/creating-a-poster-generic-pass";
const PERSONALIZE: &str = "https://developer.apple.com/documentation/walletpasses/personalize";
const SOURCE: &str = "https://developer.apple.com/documentation/walletpasses/creating-the-source-for-a-pass";
const BUILDING: &str = "https://developer.apple.com/documentation/walletpasses/building-a-pass";
const SERVICE: &str = "https://developer.apple.com/documentation/walletpasses/adding-a-web-service-to-update-passes";
const WWDR: &str = "https://developer.apple.com/help/account/reference/wwdr-intermediate-certificates";
const BUILDER: &str = "https://github.com/apple/pass-builder";

/// The public page that a rule stands on.
pub(super) fn of(rule: &str) -> &'static str {
    match rule {
        "field_key"
        | "field_key_twice"
        | "field_value"
        | "number_format_on_text"
        | "number_and_currency"
        | "change_message"
        | "attributed_value"
        | "alignment_place"
        | "row_place"
        | "row_value"
        | "detector_place"
        | "date" => FIELD,
        "field_place" | "transit_type" => FIELDS,
        "barcode_incomplete" | "barcode_singular" | "barcode_new_only" | "barcode_encoding" | "barcode_content" => BARCODES,
        "relevance_one_key" | "relevance_incomplete" | "relevance_interval" | "too_many_places" | "place_form" => RELEVANCE,
        "nfc_message" | "nfc_too_long" | "nfc_certificate" | "nfc_key" => NFC,
        "tag_unknown" | "tag_value" | "semantics_form" | "event_dates" => SEMANTICS,
        "scheme_incomplete" | "scheme_bare" | "poster_without_nfc" | "image_size" | "image_too_large" => BUILDER,
        "upcoming_form"
        | "upcoming_type"
        | "upcoming_identifier"
        | "upcoming_place"
        | "picture_choice"
        | "picture_address"
        | "picture_hash"
        | "picture_size" => UPCOMING,
        "action_count" | "action_scheme" | "action_identifier" | "action_target" => ACTIONS,
        "footer_one" | "poster_alone" => POSTER,
        "personalization_without_nfc" | "personalization_form" => PERSONALIZE,
        "icon_missing"
        | "icon_scale"
        | "image_not_shown"
        | "image_unreadable"
        | "strip_and_background"
        | "junk_file"
        | "strings_unreadable"
        | "strings_unused"
        | "pass_json_missing"
        | "json" => SOURCE,
        "manifest" | "completeness" | "hashes" | "signature_form" | "signature" | "signing_time" | "chain" | "validity"
        | "identifiers" | "certificate_ends" | "key_mismatch" => BUILDING,
        "intermediate_generation" | "certificate_kind" | "certificate_team" | "certificate_key" => WWDR,
        "service_not_https" | "service_incomplete" | "token_too_short" => SERVICE,
        _ => PASS,
    }
}
