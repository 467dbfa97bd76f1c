"""Tables: columns of numbers and of categories become the features that the first layer reads, by parameters that are trained."""
