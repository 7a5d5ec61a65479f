// Loaded before a program: appends to the file CONNECTIONS whom the program looks up or connects to.
const { appendFileSync } = require('fs');
const dns = require('dns');
const net = require('net');

function recorded(object, name) {
  const original = object[name];
  object[name] = function (...parameters) {
    appendFileSync(process.env.CONNECTIONS, `${JSON.stringify(parameters[0])}\n`);
    return original.apply(this, parameters);
  };
}

recorded(dns, 'lookup');
recorded(net.Socket.prototype, 'connect');
