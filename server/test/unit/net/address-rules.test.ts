import { expect, test } from "vitest";
import { isPublicAddress } from "../../../src/net/address-rules.ts";

const NONE = new Set<string>();

test.each(["93.184.215.14", "1.1.1.1", "2606:4700::1111", "2a00:1450:4001::1"])("%s is public", (address) => {
  expect(isPublicAddress(address, NONE)).toBe(true);
});

test.each([
  // IPv4
  ["unspecified", "0.0.0.0"],
  ["of this network", "0.1.2.3"],
  ["loopback", "127.0.0.1"],
  ["loopback", "127.255.255.254"],
  ["private", "10.0.0.1"],
  ["private", "172.16.0.1"],
  ["private", "172.31.255.255"],
  ["private", "192.168.1.1"],
  ["CGNAT", "100.64.0.1"],
  ["CGNAT, with metadata", "100.100.100.200"],
  ["link-local", "169.254.1.1"],
  ["metadata", "169.254.169.254"],
  ["metadata", "192.0.0.192"],
  ["a platform's", "168.63.129.16"],
  ["documentation", "192.0.2.1"],
  ["6to4 relays", "192.88.99.1"],
  ["benchmarks", "198.18.0.1"],
  ["multicast", "224.0.0.1"],
  ["reserved", "240.0.0.1"],
  ["broadcast", "255.255.255.255"],
  // IPv6
  ["unspecified", "::"],
  ["loopback", "::1"],
  ["loopback, compatible", "::7f00:1"],
  ["private, compatible", "::a00:1"],
  ["unique local", "fd12:3456::1"],
  ["metadata", "fd00:ec2::254"],
  ["link-local", "fe80::1"],
  ["link-local of an interface", "fe80::1%eth0"],
  ["site-local", "fec0::1"],
  ["multicast", "ff02::1"],
  ["documentation", "2001:db8::1"],
  ["discard", "100::1"],
  ["segment routing", "5f00::1"],
  ["not assigned", "4000::1"],
  // IPv4 in IPv6
  ["mapped loopback", "::ffff:127.0.0.1"],
  ["mapped loopback", "::ffff:7f00:1"],
  ["mapped metadata", "::ffff:169.254.169.254"],
  ["translated loopback", "::ffff:0:127.0.0.1"],
  ["NAT64 of loopback", "64:ff9b::127.0.0.1"],
  ["NAT64 of metadata", "64:ff9b::a9fe:a9fe"],
  ["NAT64 of a platform's", "64:ff9b::168.63.129.16"],
  ["local NAT64", "64:ff9b:1::1"],
  ["6to4 of loopback", "2002:7f00:1::"],
  ["6to4 of private", "2002:a00:1::1"],
  ["Teredo", "2001:0:4136:e378:8000:63bf:3fff:fdd2"],
  // Invalid
  ["no address", "localhost"],
  ["no address", ""],
])("%s: %s is not public", (_kind, address) => {
  expect(isPublicAddress(address, NONE)).toBe(false);
});

test("a public IPv4 address is also public in IPv6, behind a translator", () => {
  expect(isPublicAddress("::ffff:1.1.1.1", NONE)).toBe(true);
  expect(isPublicAddress("64:ff9b::1.1.1.1", NONE)).toBe(true);
});

test.each(["1.1.1.1", "::ffff:1.1.1.1", "2606:4700:0:0::1111"])(
  "%s is not public on the machine that has it",
  (address) => {
    expect(isPublicAddress(address, new Set(["1.1.1.1", "2606:4700::1111"]))).toBe(false);
  },
);
