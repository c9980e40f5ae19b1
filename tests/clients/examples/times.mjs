export const atTheVenue = (startsAt, timeZone, locale) =>
  new Intl.DateTimeFormat(locale, { dateStyle: "full", timeStyle: "short", timeZone }).format(new Date(startsAt));
