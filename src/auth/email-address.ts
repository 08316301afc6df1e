const MAX_LENGTH = 320; // RFC 3696, erratum 1690

const DOT_ATOM = /^[\w!#$%&'*+/=?^`{}|~-]+(?:\.[\w!#$%&'*+/=?^`{}|~-]+)*$/;
// Blank, quote and backslash only behind a backslash.
const QUOTED_STRING = /^"(?:[!#-[\]-~]|\\[ -~])*"$/;

const LABEL = /^(?!-)[A-Za-z0-9\u00a1-\uffff-]{1,63}(?<!-)$/u;
const TOP_LABEL = /^(?:[A-Za-z\u00a1-\uffff-]{2,63}|[Xx][Nn]--[A-Za-z0-9-]{1,59})$/u;

const IP_LITERAL = /^\[([A-Fa-f0-9:.]+)\]$/;
const OCTET = '(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])';
const IPV4 = new RegExp(`^${OCTET}(?:\\.${OCTET}){3}$`);

/**
 * Whether `value` has the form of an e-mail address. The rules are those of Django's EmailValidator: an ASCII user part,
 * plain or quoted; a domain of at least two labels whose last has no digits, `localhost`, or an IP address in brackets.
 * Beyond Django, a domain in another script must have a punycode form that DNS can carry, and control characters are
 * refused in quotes too.
 */
export function isEmailAddress(value: string): boolean {
  if (value.length > MAX_LENGTH) return false;
  const at = value.lastIndexOf('@');
  if (at === -1) return false;
  const user = value.slice(0, at);
  const domain = value.slice(at + 1);
  return (DOT_ATOM.test(user) || QUOTED_STRING.test(user)) && isMailDomain(domain);
}

function isMailDomain(domain: string): boolean {
  return domain === 'localhost' || isDomainName(domain) || isIpLiteral(domain);
}

function isDomainName(domain: string): boolean {
  if (!hasDomainForm(domain)) return false;
  // What is behind the form check holds no character that could end the host of a URL or hide another one in it.
  const url = `http://${domain}`;
  return URL.canParse(url) && hasDomainForm(new URL(url).hostname);
}

function hasDomainForm(domain: string): boolean {
  const labels = domain.split('.');
  return labels.length >= 2 && labels.every((label) => LABEL.test(label)) && TOP_LABEL.test(labels.at(-1) ?? '');
}

function isIpLiteral(domain: string): boolean {
  const ip = IP_LITERAL.exec(domain)?.[1];
  return ip !== undefined && (IPV4.test(ip) || URL.canParse(`http://[${ip}]`));
}
