// Where relays are, what they are called, and which of them an isolate asks. Pure.
import { RELAY_SHARDS } from '../limits.ts';

/** The platform's location hints. */
export const REGIONS = [
  'wnam',
  'enam',
  'sam',
  'weur',
  'eeur',
  'apac',
  'apac-ne',
  'apac-se',
  'oc',
  'afr',
  'me',
] as const;
export type Region = (typeof REGIONS)[number];

/** `REGION-SHARD`. */
export type RelayName = `${Region}-${number}`;

/** What the platform says of where a request came in (`request.cf`); nothing of it is certain to be there. */
export interface Whereabouts {
  readonly continent?: unknown;
  readonly country?: unknown;
  /** Degrees, as text. */
  readonly longitude?: unknown;
}

const MIDDLE_EAST = new Set('AE BH IL IQ IR JO KW LB OM PS QA SA SY TR YE'.split(' '));
const NORTH_EAST_ASIA = new Set('CN HK JP KP KR MN MO TW'.split(' '));
const SOUTH_EAST_ASIA = new Set('BN ID KH LA MM MY PH SG TH TL VN'.split(' '));
/** Between Chicago and Denver, and between Berlin and Warsaw. */
const WEST_OF_NORTH_AMERICA_DEGREES = -97;
const EAST_OF_EUROPE_DEGREES = 16;

/** The region whose relays are near; where nothing is known, that with the most locations. */
export function regionOf({ continent, country, longitude }: Whereabouts): Region {
  if (typeof country === 'string' && MIDDLE_EAST.has(country)) return 'me';
  const degrees = typeof longitude === 'string' && longitude.trim() !== '' ? Number(longitude) : Number.NaN;
  switch (continent) {
    case 'NA':
      return degrees < WEST_OF_NORTH_AMERICA_DEGREES ? 'wnam' : 'enam';
    case 'SA':
      return 'sam';
    case 'EU':
      return degrees > EAST_OF_EUROPE_DEGREES ? 'eeur' : 'weur';
    case 'AS':
      if (NORTH_EAST_ASIA.has(String(country))) return 'apac-ne';
      return SOUTH_EAST_ASIA.has(String(country)) ? 'apac-se' : 'apac';
    case 'OC':
      return 'oc';
    case 'AF':
      return 'afr';
    default:
      return 'enam';
  }
}

/** The relay of an isolate, by a number of its own, 0 <= n < 1: so that the isolates of one place share its shards. */
export function relayName(region: Region, isolate: number): RelayName {
  return `${region}-${Math.floor(isolate * RELAY_SHARDS)}`;
}

/** Whether a text is a relay's name: pushes go to no other. */
export function isRelayName(text: string): text is RelayName {
  const match = /^([a-z-]+)-(\d{1,2})$/.exec(text);
  return REGIONS.some((region) => region === match?.[1]) && Number(match?.[2]) < RELAY_SHARDS;
}

/** The region that a relay is made in. */
export function regionOfRelay(name: RelayName): Region {
  const region = REGIONS.find((known) => known === name.slice(0, name.lastIndexOf('-')));
  if (region === undefined) throw new Error(`"${name}" is not the name of a relay`);
  return region;
}
