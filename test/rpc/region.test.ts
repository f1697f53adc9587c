import { describe, expect, it } from 'vitest';
import { RELAY_SHARDS } from '../../src/limits.ts';
import {
  isRelayName,
  type Region,
  regionOf,
  regionOfRelay,
  REGIONS,
  relayName,
  type Whereabouts,
} from '../../src/rpc/region.ts';

describe('the region of an isolate', () => {
  it.each<[string, Whereabouts, Region]>([
    ['San Francisco', { continent: 'NA', country: 'US', longitude: '-122.4' }, 'wnam'],
    ['New York', { continent: 'NA', country: 'US', longitude: '-74.0' }, 'enam'],
    ['North America, nothing more', { continent: 'NA', country: 'US' }, 'enam'],
    ['São Paulo', { continent: 'SA', country: 'BR', longitude: '-46.6' }, 'sam'],
    ['London', { continent: 'EU', country: 'GB', longitude: '-0.1' }, 'weur'],
    ['Berlin', { continent: 'EU', country: 'DE', longitude: '13.4' }, 'weur'],
    ['Warsaw', { continent: 'EU', country: 'PL', longitude: '21.0' }, 'eeur'],
    ['Istanbul, on its European side', { continent: 'EU', country: 'TR', longitude: '28.9' }, 'me'],
    ['Dubai', { continent: 'AS', country: 'AE', longitude: '55.3' }, 'me'],
    ['Tokyo', { continent: 'AS', country: 'JP', longitude: '139.7' }, 'apac-ne'],
    ['Singapore', { continent: 'AS', country: 'SG', longitude: '103.8' }, 'apac-se'],
    ['Mumbai', { continent: 'AS', country: 'IN', longitude: '72.9' }, 'apac'],
    ['Sydney', { continent: 'OC', country: 'AU', longitude: '151.2' }, 'oc'],
    ['Nairobi', { continent: 'AF', country: 'KE', longitude: '36.8' }, 'afr'],
    ['a network without a country', { country: 'T1' }, 'enam'],
    ['nowhere', {}, 'enam'],
    ['a longitude that is no number', { continent: 'NA', longitude: 'west' }, 'enam'],
    ['an empty longitude', { continent: 'EU', longitude: '' }, 'weur'],
    ['values of other types', { continent: 7, country: null, longitude: -122 }, 'enam'],
  ])('is right for %s', (_where, whereabouts, region) => {
    expect(regionOf(whereabouts)).toBe(region);
  });
});

describe("a relay's name", () => {
  it('spreads the isolates of a region evenly over its shards', () => {
    const counts = new Map<string, number>();
    for (let isolate = 0; isolate < 8_000; isolate += 1) {
      const name = relayName('weur', isolate / 8_000);
      counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    expect([...counts.values()]).toEqual(Array.from({ length: RELAY_SHARDS }, () => 1_000));
  });

  it('says where the relay is made', () => {
    for (const region of REGIONS) {
      expect(regionOfRelay(relayName(region, 0.99))).toBe(region);
      expect(isRelayName(relayName(region, 0.99))).toBe(true);
    }
  });

  it.each(['', 'weur', 'weur-', 'weur-8', 'weur-x', 'mars-1', 'weur-1-1', 'control'])('is not %j', (text) => {
    expect(isRelayName(text)).toBe(false);
  });
});
