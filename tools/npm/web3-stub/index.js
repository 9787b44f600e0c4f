module.exports = class Web3 {}
